"""Logs, metrics and health: what an administrator watches, and nothing in it identifies a patient.

`logs` sets structlog up, `metrics` turns the ledger's rows into Prometheus metrics, `probes` answers health probes and
scrapes over HTTP.
"""

from dosremc_node.monitoring.logs import configure_logging
from dosremc_node.monitoring.probes import ProbeServer

__all__ = ["ProbeServer", "configure_logging"]
