"""Scores: from a network input to an assessment, with ONNX Runtime and without torch.

The room knows one session per backbone and bank, the rule that turns logits into scores per view, breast and exam, and
how a saliency map becomes regions in image coordinates. What it computes on is a matter of the settings; on a GPU the graphs are the same, TF32 is off unless
the release allows it, and half precision is not offered. It serves graphs of this kind:

* input ``image``: float32, (1, 1, height, width); one image at a time, so that no score depends on its neighbours;
* outputs ``logit``: float32, (1,), and ``saliency``: float32, (1, 1, h, w), probabilities in 0..1;
* initializers that belong to a bank have the names of the bank's entries (``stage1.0.bn1.weight``, ``.bias``,
  ``.running_mean``, ``.running_var``, ``fc.weight``, ``fc.bias``); each batch norm takes all its parameters from the bank.
"""

from dosremc_node.inference.engine import InferenceEngine, Weights
from dosremc_node.inference.moments import is_sampled, measure_moments
from dosremc_node.inference.providers import choose_providers, installed_providers
from dosremc_node.inference.regions import find_findings
from dosremc_node.inference.rule import ScoredImage, assess
from dosremc_node.inference.saliency import decode_saliency, encode_saliency
from dosremc_node.inference.sessions import Folding, Session, build_session, folded_batch_norms

__all__ = [
    "Folding",
    "InferenceEngine",
    "ScoredImage",
    "Session",
    "Weights",
    "assess",
    "build_session",
    "choose_providers",
    "decode_saliency",
    "encode_saliency",
    "find_findings",
    "folded_batch_norms",
    "installed_providers",
    "is_sampled",
    "measure_moments",
]
