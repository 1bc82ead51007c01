"""The benchmark: every method, from every simulated vendor to every other, in several seeds of data and model; what holds of what is said."""

from dosremc_node.network.science.presets import PRESETS, Preset
from dosremc_node.network.science.results import Results, run_science

__all__ = ["PRESETS", "Preset", "Results", "run_science"]
