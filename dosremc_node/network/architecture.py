"""Which network a graph is: its name and configuration in words that travel with the graph, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dosremc_node.errors import NetworkUnknown
from dosremc_node.network.gmic import GMIC, GMICConfiguration
from dosremc_node.network.prediction import Network
from dosremc_node.network.resnet22 import ResNetConfiguration, SaliencyResNet

Built = tuple[TypeAdapter[Any], Callable[[Any], Network]]

ARCHITECTURES: dict[str, Built] = {
    "SaliencyResNet": (TypeAdapter(ResNetConfiguration), SaliencyResNet),
    "GMIC": (TypeAdapter(GMICConfiguration), GMIC),
}
"""The networks that can be built from words alone, by the name of their class."""


def describe(network: Network) -> str:
    """JSON of the network's class and configuration. One that is none of ours has a class only: whoever made it can build it again."""
    name = type(network).__name__
    if name not in ARCHITECTURES:
        return json.dumps({"network": name})
    configuration, _ = ARCHITECTURES[name]
    return json.dumps({"network": name, "configuration": configuration.dump_python(network.configuration, mode="json")})


def build(description: str) -> Network:
    """The network, untrained, that `describe` described; raises `NetworkUnknown`."""
    try:
        said = json.loads(description)
        configuration, make = ARCHITECTURES[said["network"]]
        return make(configuration.validate_python(said["configuration"]))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise NetworkUnknown(why=f"it says {description[:80]!r}") from error
