"""Methods of adaptation over one interface: a `Task` in, an `Adapted` out, whose `Scorer` scores any domain's images.

``METHODS["bnfc"].adapt(task).scorer(test_images, domain)`` is one cell of a table.
"""

from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.methods.interface import Adapted, Method, Scorer, Task
from dosremc_node.network.methods.registry import METHODS

__all__ = ["METHODS", "Adapted", "Method", "Scorer", "Task", "train_bank"]
