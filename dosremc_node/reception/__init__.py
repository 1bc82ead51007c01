"""The door of the node: DICOM verification and storage, and fetching studies from a PACS.

The room knows DIMSE: who may send, how bytes get from the network to the disk, what a sender is answered. It gives a
`Receiver`, which hands each object to the program as a `ReceivedObject` once it lies safely in the artifact store, the `Door` at which
several of them receive, and
`find_studies`, `mammography_of`, `mammograms_of` and `move_study`, with which the node asks a PACS for what was never sent.
"""

from dosremc_node.libraries import settle_dicom_libraries
from dosremc_node.reception.door import Door
from dosremc_node.reception.inventory import mammograms_of, mammography_of
from dosremc_node.reception.retrieve import FoundStudy, MoveProgress, find_studies, move_study
from dosremc_node.reception.server import Receiver

settle_dicom_libraries()

__all__ = ["Door", "FoundStudy", "MoveProgress", "Receiver", "find_studies", "mammograms_of", "mammography_of", "move_study"]
