"""What the HTTP listener for machines answers, and what it keeps to itself."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dosremc_node.monitoring import ProbeServer

CANARY = "KANARIENVOGEL"


class Failing(Collector):
    """A ledger that is away, as a database library would say it."""

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        raise RuntimeError(CANARY)


def test_a_scrape_that_fails_prints_no_foreign_text(capfd: pytest.CaptureFixture[str]) -> None:
    """The listener goes on, and says the kind and place of the error only."""
    server = ProbeServer("127.0.0.1", 0, Failing(), lambda: None)
    server.start()
    try:
        scrape = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        scrape.request("GET", "/metrics")
        with pytest.raises(http.client.RemoteDisconnected):
            scrape.getresponse()
        scrape.close()
        probe = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        probe.request("GET", "/healthz")
        assert probe.getresponse().read() == b"ok\n"
        probe.close()
    finally:
        server.stop()
    printed = "".join(capfd.readouterr())
    assert CANARY not in printed
    assert "unexpected RuntimeError" in printed
