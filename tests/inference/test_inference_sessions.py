"""The numbers are right for every bank, and nothing but the image and the bank can change a bit of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from dosremc_node.errors import BankDoesNotFit, ScoreNotFinite
from dosremc_node.inference import Folding, InferenceEngine, build_session, folded_batch_norms
from dosremc_node.records import BankId, Domain, NetworkInput, NetworkOutput, Release

if TYPE_CHECKING:
    from conftest import SmallRelease

Array = NDArray[np.float32]
Peer = Callable[[Mapping[str, Array], Array], tuple[float, Array]]
HOLOGIC, SIEMENS, GE, FUJI = (Domain(name) for name in ("hologic", "siemens", "ge", "fuji"))


def same_bits(first: NetworkOutput, second: NetworkOutput) -> bool:
    return first.logit == second.logit and first.saliency.tobytes() == second.saliency.tobytes()


def test_every_bank_gives_its_own_right_numbers(small_release: SmallRelease, inputs: list[NetworkInput], peer: Peer) -> None:
    """Logit and saliency are those of the network written in numpy with that bank, and differ between banks."""
    logits = set()
    for domain, bank in small_release.banks.items():
        session = build_session(small_release.graph, domain, bank, threads=1)
        for network_input in inputs:
            output = session.score(network_input)
            logit, saliency = peer(bank, network_input.pixels)
            assert output.logit == pytest.approx(logit, rel=1e-4, abs=1e-5)
            np.testing.assert_allclose(output.saliency, saliency, atol=1e-5)
            logits.add(output.logit)
    assert len(logits) == len(small_release.banks) * len(inputs)


def test_the_shortcut_is_still_wrong(small_release: SmallRelease, inputs: list[NetworkInput], peer: Peer) -> None:
    """Replacing initializers by session options gives other numbers than the bank's: why the graph itself is written to."""
    bank = small_release.banks[HOLOGIC]
    options = onnxruntime.SessionOptions()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(each) for name, each in bank.items()}
    for name, value in values.items():
        options.add_initializer(name, value)
    shortcut = onnxruntime.InferenceSession(small_release.graph, options, providers=["CPUExecutionProvider"])
    (logit,) = shortcut.run(["logit"], {"image": inputs[0].pixels[None, None]})

    assert logit.item() != pytest.approx(peer(bank, inputs[0].pixels)[0], rel=1e-3)


def test_foldable_batch_norms_are_folded(small_release: SmallRelease) -> None:
    """The two batch norms behind convolutions fold, the one behind a ReLU cannot."""
    assert folded_batch_norms(small_release.graph, HOLOGIC, small_release.banks[HOLOGIC]) == Folding(folded=2, total=3)


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 0])
def test_threads_change_no_bit(small_release: SmallRelease, inputs: list[NetworkInput], threads: int) -> None:
    """Any number of threads gives the bits that one gives."""
    bank = small_release.banks[GE]
    alone, together = (build_session(small_release.graph, GE, bank, number) for number in (1, threads))
    for network_input in inputs:
        assert same_bits(alone.score(network_input), together.score(network_input))


def test_half_precision_only_within_its_tolerance(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """With room for it the session rounds, and stays within that room; with none, or with a weight beyond its range, it gives the exact bits."""

    def scores(bank: Mapping[str, Array], tolerance: float | None) -> list[NetworkOutput]:
        session = build_session(small_release.graph, GE, bank, threads=1, half_precision_tolerance=tolerance)
        return [session.score(network_input) for network_input in inputs]

    bank = small_release.banks[GE]
    exact, rounded, refused = (scores(bank, tolerance) for tolerance in (None, 0.1, 1e-9))
    assert not any(map(same_bits, exact, rounded))
    assert all(abs(one.logit - other.logit) < 0.1 for one, other in zip(exact, rounded, strict=True))
    assert all(map(same_bits, exact, refused))

    beyond = {**bank, "fc.weight": bank["fc.weight"] * 1e7}
    assert all(map(same_bits, scores(beyond, None), scores(beyond, 0.1)))


def test_neighbours_change_no_bit(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """Scored alone, in any order, between other banks' images or beside them in eight threads: the same bits (promise 6)."""
    jobs = [(bank, number) for bank in small_release.release.banks.values() for number in range(len(inputs))]
    alone = {job: InferenceEngine(1).score(small_release, job[0], inputs[job[1]]) for job in jobs}
    engine = InferenceEngine(2, sessions_at_most=2)
    shuffled = [jobs[index] for index in np.random.default_rng(0).permutation(len(jobs) * 8) % len(jobs)]
    with ThreadPoolExecutor(8) as pool:
        for job, output in zip(shuffled, pool.map(lambda job: engine.score(small_release, job[0], inputs[job[1]]), shuffled), strict=True):
            assert same_bits(output, alone[job])


def test_a_session_is_built_once(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """Eight threads that want the same bank at the same moment build one session."""
    engine, asked = InferenceEngine(1), threading.Semaphore(0)

    class Slow:
        """Gives its graph only when all eight have asked for the session."""

        @property
        def release(self) -> Release:
            asked.release()
            return small_release.release

        def backbone(self) -> bytes:
            assert all(asked.acquire(timeout=20) for _ in range(8))
            return small_release.backbone()

        bank = small_release.bank

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(engine.score, Slow(), small_release.release.banks[FUJI], inputs[0]) for _ in range(8)]
        outputs = [job.result() for job in jobs]
    assert small_release.read == [FUJI]
    assert all(same_bits(outputs[0], output) for output in outputs)


def test_sessions_are_bounded(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """The bank that was used longest ago is dropped and built again when it is needed, no other."""
    engine, banks = InferenceEngine(1, sessions_at_most=2), small_release.release.banks
    for domain in (HOLOGIC, SIEMENS, HOLOGIC, GE, HOLOGIC, SIEMENS):
        engine.score(small_release, banks[domain], inputs[0])
    assert small_release.read == [HOLOGIC, SIEMENS, GE, SIEMENS]


def test_a_new_threshold_keeps_the_session(small_release: SmallRelease) -> None:
    """A release with the same backbone and bank goes on with the session that is there; a new bank gets one of its own."""
    engine, old = InferenceEngine(1), small_release.release
    session = engine.session(small_release, old.banks[GE])
    renamed = replace(small_release, release=replace(old, release_id="new threshold"))
    other_bank = BankId(GE, "f" * 64)
    promoted = replace(small_release, release=replace(old, banks=old.banks | {GE: other_bank}))

    assert engine.session(renamed, old.banks[GE]) is session
    assert engine.session(promoted, other_bank) is not session
    assert engine.session(small_release, old.banks[GE]) is session


def test_a_bank_of_another_release_is_refused(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """A pinned bank that the release does not have is refused, in words, and nothing is scored."""
    with pytest.raises(BankDoesNotFit, match="hologic@ffff"):
        InferenceEngine(1).score(small_release, BankId(HOLOGIC, "f" * 64), inputs[0])


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ({"bn2.running_var": None}, "batch norm bn2 needs bn2.running_var"),
        ({"bn9.weight": np.ones(8, np.float32)}, "no initializer bn9.weight"),
        ({"bn1.weight": np.ones(4, np.float32)}, r"bn1.weight is float32 \(4,\), the graph has float32 \(8,\)"),
        ({"bn1.weight": np.ones((8, 1), np.float32)}, r"bn1.weight is float32 \(8, 1\)"),
        ({"fc.bias": np.ones(1, np.float64)}, "fc.bias is float64"),
    ],
)
def test_a_wrong_bank_is_refused(small_release: SmallRelease, spoiled: dict[str, Array | None], why: str) -> None:
    """A bank that lacks an entry, has a foreign one, or one of another shape or type, is refused by name."""
    bank = {name: values for name, values in (small_release.banks[HOLOGIC] | spoiled).items() if values is not None}
    with pytest.raises(BankDoesNotFit, match=why):
        build_session(small_release.graph, HOLOGIC, bank)


def test_a_shared_initializer_is_refused(small_release: SmallRelease) -> None:
    """A graph whose exporter made two batch norms share a parameter is refused: one of them would not follow the bank."""
    model = onnx.load_model_from_string(small_release.graph)
    norm = next(node for node in model.graph.node if node.name == "bn2")
    norm.input[3] = "shared"
    model.graph.initializer.append(numpy_helper.from_array(np.ones(8, np.float32), "shared"))
    with pytest.raises(BankDoesNotFit, match="batch norm bn2 needs shared"):
        build_session(model.SerializeToString(), HOLOGIC, small_release.banks[HOLOGIC])


def test_no_score_is_no_negative(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """A bank that makes the network say NaN raises; it would compare as below every threshold."""
    bank = small_release.banks[HOLOGIC] | {"fc.bias": np.array([np.nan], np.float32)}
    with pytest.raises(ScoreNotFinite):
        build_session(small_release.graph, HOLOGIC, bank).score(inputs[0])
