"""From a file to the network input, through a process of its own as in the node, against the fastest decoder alone in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder

from bench.exams import SYNTAXES, full_size_image
from bench.measuring import Result, Scope, faster, in_turn, milliseconds
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.records import Laterality
from dosremc_node.releases import default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings, WorkerSettings

NATIVE = "pydicom"
"""Uncompressed pixels need no decoder's plugin."""


def run(scope: Scope) -> Iterator[Result]:
    """`decode.<syntax>`: ``over_ms`` is what the node adds to the decoder."""
    spec, settings = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE).release.preprocessing, WorkerSettings()
    with ImagingWorkers(1, settings.decoding_seconds, settings.decoding_megabytes) as workers:
        for syntax in SYNTAXES:
            path = full_size_image(scope.data, syntax)
            winner = fastest_decoder(path, scope.times(3))
            workers.prepare(path, spec, Laterality.LEFT)
            pairs = in_turn(
                lambda path=path: milliseconds(lambda: workers.prepare(path, spec, Laterality.LEFT)),
                lambda path=path, winner=winner: milliseconds(lambda: decode_alone(path, winner)),
                scope.times(7),
            )
            over = median(ours - theirs for ours, theirs in pairs)
            yield Result(f"decode.{syntax}", median(ours for ours, _ in pairs), "ms", faster(pairs, winner), {"over_ms": over})


def decode_alone(path: Path, decoder: str) -> int:
    """From a file to its stored values with one decoder and nothing of ours; answers how many bytes they are."""
    dataset = dcmread(path)
    plugin = "" if decoder == NATIVE else decoder
    values, _ = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, raw=True, decoding_plugin=plugin)
    return int(values.copy().nbytes if decoder == NATIVE else values.nbytes)


def fastest_decoder(path: Path, tries: int) -> str:
    """The name of the installed decoder that needs least time, after one try to warm up."""
    decoder = get_decoder(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    names = decoder.available_plugins or (NATIVE,)
    took = {name: [milliseconds(lambda name=name: decode_alone(path, name)) for _ in range(tries + 1)][1:] for name in names}
    return min(took, key=lambda name: median(took[name]))
