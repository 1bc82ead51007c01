"""Which processor computes: the execution providers of ONNX Runtime, as the settings choose them.

A GPU's provider that is installed but finds no GPU or no driver is not there. ONNX Runtime would then go on without it, and
after an error in the midst of scoring too; here neither happens, because other processors give other bits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import onnxruntime
from onnx import TensorProto, helper

from dosremc_node.errors import ProviderNotThere
from dosremc_node.settings import Provider

_NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}
_FATAL_ONLY = 4


def installed_providers() -> tuple[Provider, ...]:
    """The providers that the installed ONNX Runtime was built with, whether or not this machine has their processor."""
    available = onnxruntime.get_available_providers()
    return tuple(provider for provider, name in _NAMES.items() if name in available)


def choose_providers(wanted: Sequence[Provider]) -> tuple[Provider, ...]:
    """The providers to use, in order of preference; with none wanted, CUDA where it is there, else the processor.

    Raises `ProviderNotThere` where a wanted one is not installed, or has no processor to work on.
    """
    if not wanted:
        return (Provider.CUDA, Provider.CPU) if _is_there(Provider.CUDA) else (Provider.CPU,)
    for provider in wanted:
        if not _is_there(provider):
            usable = ", ".join(each for each in installed_providers() if _is_there(each))
            raise ProviderNotThere(provider=provider, usable=usable, why=_why_not(provider))
    if Provider.TENSORRT in wanted:
        # TensorRT rounds to TF32 unless NVIDIA's libraries are told not to, which holds for the whole process.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    return tuple(wanted)


def runtime_session(
    model: bytes, options: onnxruntime.SessionOptions, providers: Sequence[Provider], *, tf32: bool = False
) -> onnxruntime.InferenceSession:
    """A session on these providers and no other; raises `ProviderNotThere` where one of them does not start."""
    chosen = [(_NAMES[provider], _options(provider, tf32=tf32)) for provider in providers]
    session = onnxruntime.InferenceSession(model, options, providers=chosen, enable_fallback=0)
    for provider in providers:
        if _NAMES[provider] not in session.get_providers():
            raise ProviderNotThere(provider=provider, usable=", ".join(session.get_providers()), why="it does not start")
    return session


def _options(provider: Provider, *, tf32: bool) -> dict[str, str]:
    if provider is not Provider.CUDA:
        return {}
    # The default search times the algorithms, and may take another one tomorrow, which gives other bits.
    return {"use_tf32": "1" if tf32 else "0", "cudnn_conv_algo_search": "HEURISTIC"}


@cache
def _is_there(provider: Provider) -> bool:
    """Whether a session on it can be made: that is the only way to know."""
    if provider is Provider.CPU:
        return True
    if provider not in installed_providers():
        return False
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    try:
        runtime_session(_smallest_model(), options, [provider])
    # The named boundary: a missing driver, library or device ends in any of several errors.
    except Exception:  # noqa: BLE001
        return False
    return True


def _why_not(provider: Provider) -> str:
    if provider in installed_providers():
        return "it is installed, but finds no GPU, no driver, or not the libraries it needs"
    return "the installed ONNX Runtime does not have it; the extra `gpu` brings one that has"


def _smallest_model() -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Relu", ["in"], ["out"])], "probe", value[:1], value[1:])
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return content
