"""A ledger, and listeners on ports of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.messages import Sender

from dosremc_node.ledger import Ledger, open_ledger
from dosremc_node.messages import Answering, MessageListener
from dosremc_node.settings import MessageSettings


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def listen(ledger: Ledger) -> Iterator[Callable[..., MessageListener]]:
    """Starts listeners: ``listen(**settings)``; all are stopped at the end."""
    running: list[MessageListener] = []

    def start(answering: Answering | None = None, **values: object) -> MessageListener:
        settings = MessageSettings(**values)
        listener = MessageListener(settings, answering or Answering(ledger, settings))
        listener.start()
        running.append(listener)
        return listener

    yield start
    for listener in running:
        listener.stop(grace_seconds=5)


@pytest.fixture
def connect() -> Iterator[Callable[[MessageListener], Sender]]:
    """Opens connections to a listener; all are closed at the end."""
    opened: list[Sender] = []

    def to(listener: MessageListener) -> Sender:
        opened.append(Sender(listener.port))
        return opened[-1]

    yield to
    for sender in opened:
        sender.close()
