"""HL7 v2 messages of other systems, over MLLP: who may send, what a message says, and how it is acknowledged.

The room knows HL7. A message is in the ledger, with all that follows from it, before its sender hears that it was accepted.
"""

from dosremc_node.messages.answering import Answering, Check
from dosremc_node.messages.envelope import read_envelope
from dosremc_node.messages.listener import MessageListener
from dosremc_node.messages.parsing import Message, Repetition, Segment, parse

__all__ = ["Answering", "Check", "Message", "MessageListener", "Repetition", "Segment", "parse", "read_envelope"]
