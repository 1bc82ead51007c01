"""`dosremc-node demo`: a modality, the node and a PACS on this machine, and what became of every study that was sent.

The files answer: what is sent (`exams`), how the node is started (`node`), how it all goes (`run`), what the PACS has at
the end (`fetching`), and how it is shown (`page`).
"""

from dosremc_node.cli.demo.run import demo

__all__ = ["demo"]
