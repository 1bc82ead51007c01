"""``make bench``, or some of it: ``PYTHONPATH=tests python -m bench --quick decode swap``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench import cost, decoding, inference, inference_on_gpu, ingest, ingest_memory, latency, memory, recalibration, swap, throughput
from bench.measuring import Result, Scope

BENCHES: dict[str, Callable[[Scope], Iterator[Result]]] = {
    "decode": decoding.run,
    "inference": inference.run,
    "inference.gpu": inference_on_gpu.run,
    "latency": latency.run,
    "throughput": throughput.run,
    "swap": swap.run,
    "memory": memory.run,
    "cost": cost.run,
    "recalibration": recalibration.run,
    "ingest.1": ingest.one_association,
    "ingest.8": ingest.eight_associations,
    "ingest.small": ingest.small_objects,
    "ingest.memory": ingest_memory.run,
}
Name = StrEnum("Name", {name: name for name in BENCHES})
OUT = Path(__file__).resolve().parents[2] / "build" / "bench"


def main(
    names: Annotated[list[Name] | None, typer.Argument(help="Which benches; all where none is named.")] = None,
    *,
    quick: Annotated[bool, typer.Option(help="One pair or one study each, to see that it works.")] = False,
) -> None:
    """Measure, print a line for each figure, and write build/bench/NAME.json."""
    load, processors = os.getloadavg()[0], len(os.sched_getaffinity(0))
    typer.echo(f"{processors} processors, 1-minute load {load:.1f}" + (": not quiet, figures will suffer" if load > processors / 2 else ""))
    started = time.monotonic()
    failed = [name for name in names or BENCHES if not _ran(name, Scope(data=OUT / "data", work=OUT / "work" / name, quick=quick))]
    typer.echo(f"{time.monotonic() - started:.0f} s, results are in {OUT}")
    raise typer.Exit(1 if failed else 0)


def _ran(name: str, scope: Scope) -> bool:
    """Run one bench; what it worked with stays there where it fails."""
    shutil.rmtree(scope.work, ignore_errors=True)
    scope.work.mkdir(parents=True)
    try:
        for result in BENCHES[name](scope):
            result.write(OUT)
            typer.echo(result.line())
    except Exception as error:  # noqa: BLE001 - the boundary: the other benches go on
        typer.echo(f"{name}: failed, {type(error).__name__}: {error}")
        return False
    shutil.rmtree(scope.work)
    return True


if __name__ == "__main__":  # the processes of a bench import this file too
    typer.run(main)
