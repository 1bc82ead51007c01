"""What is computed on is what the settings say, or an error in words; never something else in silence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dosremc_node.errors import ProviderNotThere
from dosremc_node.inference import InferenceEngine, build_session, choose_providers, installed_providers
from dosremc_node.inference.graphs import with_bank
from dosremc_node.inference.providers import runtime_session
from dosremc_node.inference.sessions import OnDevice, as_batch_of_one, session_options
from dosremc_node.records import Domain, NetworkInput
from dosremc_node.settings import Provider

if TYPE_CHECKING:
    from conftest import SmallRelease

needs_no_gpu = pytest.mark.skipif(choose_providers(()) != (Provider.CPU,), reason="this machine has a GPU that can be used")
needs_gpu = pytest.mark.skipif(Provider.CUDA not in choose_providers(()), reason="this machine has no GPU that can be used")


def test_the_processor_is_always_there() -> None:
    """Every node can run on it, and it is what is used where nothing else is."""
    assert Provider.CPU in installed_providers()
    assert choose_providers([Provider.CPU]) == (Provider.CPU,)
    assert choose_providers(())[-1] is Provider.CPU


@needs_no_gpu
@pytest.mark.parametrize("wanted", [(Provider.CUDA, Provider.CPU), (Provider.TENSORRT,), (Provider.CPU, Provider.CUDA)])
def test_a_provider_that_is_named_and_not_there_is_an_error(wanted: tuple[Provider, ...]) -> None:
    """The error names it, says why, what could be used instead, and which setting to change; nothing falls back in silence."""
    with pytest.raises(ProviderNotThere, match=r"(cuda|tensorrt) cannot be used.*Usable here: cpu.*worker\.providers"):
        InferenceEngine(1, wanted)


def test_bound_buffers_change_no_bit(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """Input and outputs bound once give the same bits as plain runs, image after image, and from eight threads at once."""
    domain, bank = next(iter(small_release.banks.items()))
    plain = build_session(small_release.graph, domain, bank, threads=1)
    model = with_bank(small_release.graph, domain, bank).SerializeToString()
    bound = OnDevice(runtime_session(model, session_options(1), (Provider.CPU,)), "cpu")
    images = [inputs[index % len(inputs)] for index in range(64)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda image: bound.run(as_batch_of_one(image)), images))
    for image, (logit, saliency) in zip(images, results, strict=True):
        expected = plain.score(image)
        assert logit.item() == expected.logit
        assert saliency[0, 0].tobytes() == expected.saliency.tobytes()


@needs_gpu
def test_a_gpu_says_what_the_processor_says(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """Without TF32 the scores differ by rounding only, and repeat to the bit."""
    domain, bank = Domain("ge"), small_release.banks[Domain("ge")]
    processor = build_session(small_release.graph, domain, bank)
    gpu = build_session(small_release.graph, domain, bank, providers=(Provider.CUDA, Provider.CPU))
    for image in inputs:
        first, second, expected = gpu.score(image), gpu.score(image), processor.score(image)
        assert first.logit == second.logit
        assert first.logit == pytest.approx(expected.logit, rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(first.saliency, expected.saliency, atol=1e-5)
