"""Model releases on disk: their folder format, their digests, and the shelves on which they lie.

A release is a folder that never changes. Every change, a new threshold too, is a new release::

    <release id>/
      release.json                  the manifest: parent, digests, preprocessing, cohort, metrics, approver, Device UID, seal
      backbone.onnx                 the graph, batch norm kept as nodes (not folded)
      banks/<domain>.safetensors    gamma, beta, running mean and variance, fully connected layer: float32
      operating.json                calibration and threshold per scanner key and, where a key has none, per domain

The manifest carries the SHA-256 of every other file, of the filters alone (every initializer of the graph that no bank
replaces) and, as its seal, of itself. Nothing is given out of a release whose digests do not hold.

What ``backbone.onnx`` must look like, so that ``inference`` can serve it:

* input ``image``: float32, (1, 1, height, width) with the fixed sizes of the preprocessing spec;
* output ``logit``: float32, (1,), the logit of malignancy;
* output ``saliency``: float32, (1, 1, h, w), probabilities in 0..1 (the sigmoid is inside the graph);
* what belongs to a bank is an initializer named as in the bank's file, such as ``stage1.0.bn1.weight``, ``.bias``,
  ``.running_mean``, ``.running_var``, ``fc.weight``, ``fc.bias``; every batch norm node takes all four of its parameters
  from the bank directly. Exporters like to fold batch norm, and to share initializers that happen to be equal: neither fits.
"""

from dosremc_node.releases.banks import bank_from_safetensors, bank_to_safetensors
from dosremc_node.releases.digests import filters_sha256
from dosremc_node.releases.shelf import LoadedRelease, ReleaseShelf, default_shelf
from dosremc_node.releases.writing import ReleaseFacts, write_release

__all__ = [
    "LoadedRelease",
    "ReleaseFacts",
    "ReleaseShelf",
    "bank_from_safetensors",
    "bank_to_safetensors",
    "default_shelf",
    "filters_sha256",
    "write_release",
]
