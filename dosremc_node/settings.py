"""The configuration tree: what a PACS administrator can set, with its defaults.

With nothing set at all the node runs on its embedded defaults: SQLite, a folder ``var/``, loopback only. Where values
come from is the matter of ``configuration.py``.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from dosremc_node.errors import NoSuchDestination
from dosremc_node.records import DEFAULT_DOCUMENTS, DocumentKind, LabelRules, UnknownScannerPolicy

SHIPPED_RELEASE = "demonstration"


def _ae_title(value: str) -> str:
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", value) or not value.strip():
        raise ValueError("an AE title has 1 to 16 printable ASCII characters, no backslash, and is not only spaces")
    return value.strip()


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("an IP address, or a network such as 10.1.2.0/24, is expected") from None
    return value


def _host(value: str) -> str:
    if re.fullmatch(r"[\d.]*|.*[:/].*", value):
        return _network(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", value):
        raise ValueError("an IP address, a network such as 10.1.2.0/24, or the name of a host is expected")
    return value


def _host_or_nothing(value: str) -> str:
    return _host(value) if value else value


def _own_address(value: str) -> str:
    if "/" in _host(value):
        raise ValueError("one address of this machine is expected, 0.0.0.0 for all of them")
    return value


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, AfterValidator(_own_address)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Purpose(StrEnum):
    """Whether a destination may receive what has no clinical evidence (promise 14)."""

    TEST = "test"
    CLINICAL = "clinical"


class NodeSettings(_Section):
    """Who this node is. ``name`` goes into every document's UID, so it never changes once the node is in use."""

    name: str = Field("dosremc", pattern=r"^[A-Za-z0-9._-]{1,32}$")
    ae_title: AeTitle = "DOSREMC"


class TlsVersion(StrEnum):
    """The lowest version of TLS that is spoken; BCP 195 knows no older one."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class ListenerTls(_Section):
    """TLS of a listener of ours. With a ``ca_file`` only senders with a certificate of that authority are let in."""

    certificate_file: Path
    key_file: Path
    ca_file: Path | None = None
    minimum_version: TlsVersion = TlsVersion.TLS_1_2


class Peer(_Section):
    """A system that may send to this node: from ``host``, an address, a network or a name, or from anywhere where that is empty."""

    ae_title: AeTitle
    host: Annotated[str, AfterValidator(_host_or_nothing)] = ""


class ReceptionSettings(_Section):
    """The DICOM listener. An empty list ``peers`` admits every calling AE title from this machine only.

    ``processes`` receive on one port; the limits hold over all of them. A peer is a calling AE title at an address: it may have
    ``max_associations_per_peer`` open, open ``associations_per_second``, and is answered ``objects_per_second`` at most (0: no limit).
    From ``balancers``, addresses or networks, a PROXY protocol header must say where a connection comes from; who else sends one is cut
    off. Timeouts: ARTIM from the connection to the association request, TLS and that header included; DIMSE for one whole message; idle
    for silence. At its end the node gives open associations ``drain_seconds``.
    """

    host: Host = "127.0.0.1"
    port: Port = 11112
    processes: int = Field(2, ge=1, le=32)
    peers: tuple[Peer, ...] = ()
    balancers: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    tls: ListenerTls | None = None
    max_associations: int = Field(50, ge=1, le=1000)
    max_associations_per_peer: int = Field(50, ge=1, le=1000)
    associations_per_second: float = Field(0.0, ge=0, allow_inf_nan=False)
    objects_per_second: float = Field(0.0, ge=0, allow_inf_nan=False)
    object_megabytes: int = Field(4096, ge=1)
    require_called_ae_title: bool = True
    artim_timeout_seconds: float = Field(30.0, gt=0, le=600)
    dimse_timeout_seconds: float = Field(600.0, gt=0, allow_inf_nan=False)
    idle_timeout_seconds: float = Field(60.0, gt=0, allow_inf_nan=False)
    drain_seconds: float = Field(20.0, ge=0, le=30)
    keep_free_megabytes: int = Field(1024, ge=0)


class StorageSettings(_Section):
    """Where images, network inputs and rendered documents are kept.

    Network inputs can be made again: of those only the newest are kept, ``inputs_megabytes`` of them. The images of finished
    studies are removed after ``images_days``, and those that have been there longest while less than
    ``images_free_megabytes`` of the disk are free; 0 means never. Documents stay.
    """

    folder: Path = Path("var/artifacts")
    inputs_megabytes: int = Field(20_000, ge=0)
    images_days: int = Field(0, ge=0, le=36_500)
    images_free_megabytes: int = Field(0, ge=0)


class DatabaseSettings(_Section):
    """SQLAlchemy URLs: ``url`` of the ledger, ``engine_url`` of the workflow engine's own database."""

    url: str = "sqlite:///var/ledger.sqlite"
    engine_url: str = "sqlite:///var/engine.sqlite"


class StudySettings(_Section):
    """When a study is complete, and what happens where no domain knows its scanner.

    A study that has all four screening views is complete at once, one with other images after ``quiet_seconds`` without
    a further image, every study ``deadline_seconds`` after its first image.
    """

    quiet_seconds: float = Field(60.0, ge=0)
    deadline_seconds: float = Field(1800.0, gt=0)
    unknown_scanner: UnknownScannerPolicy = UnknownScannerPolicy.SHADOW
    nearest_domain: str = ""
    domains_file: Path | None = None


class ReleaseSettings(_Section):
    """Where model releases lie. ``initial`` is put in force when the ledger has none yet."""

    folder: Path | None = None
    initial: str = SHIPPED_RELEASE


class Provider(StrEnum):
    """What ONNX Runtime can compute on."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class WorkerSettings(_Section):
    """How much is done at once, on what, and how often a study that brings its worker down is tried.

    ``decoding_processes`` images are decoded at once, one in a process; an image that takes more than ``decoding_seconds`` or
    ``decoding_megabytes``, its process's own 300 included, is refused. While one study's reports are written, others are decoded: one
    study more than processes keeps these busy. ``providers`` are in order of preference; none means CUDA where it is there, else the
    processor. ``moments_share`` of the images goes through a second, unfolded pass that measures what drift is told from.
    """

    concurrent_studies: int = Field(3, ge=1, le=64)
    decoding_processes: int = Field(2, ge=1, le=64)
    decoding_seconds: float = Field(60.0, gt=0)
    decoding_megabytes: int = Field(4096, ge=512)
    inference_threads: int = Field(0, ge=0)
    providers: tuple[Provider, ...] = ()
    moments_share: float = Field(0.02, ge=0, le=1)
    attempts: int = Field(5, ge=1)
    poll_seconds: float = Field(0.1, gt=0)


class DestinationTls(_Section):
    """TLS to a destination, by DICOM or by HTTPS. Without a ``ca_file`` the system's authorities are trusted.

    ``certificate_file`` and ``key_file`` (PEM) say who this node is, to a destination that asks.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    minimum_version: TlsVersion = TlsVersion.TLS_1_2
    check_host_name: bool = True


class DicomWeb(_Section):
    """A DICOMweb service that documents are stored in (STOW-RS).

    Secrets never stand in the settings: ``token_variable`` and ``password_variable`` are the names of environment variables. A token
    is sent as a bearer token, ``user`` and its password by basic authentication.
    """

    url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    token_variable: str = ""
    user: str = ""
    password_variable: str = ""


class StructuredReport(StrEnum):
    """The SOP classes that our structured reports can be stored as."""

    COMPREHENSIVE = "comprehensive"
    COMPREHENSIVE_3D = "comprehensive-3d"
    ENHANCED = "enhanced"


class TransferSyntax(StrEnum):
    """How documents are encoded on their way. Implicit VR is offered beside Explicit VR in any case, as PS3.5 10.1 demands."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"


class NotAccepted(StrEnum):
    """What becomes of a document whose SOP class a destination does not take: it waits for a person, or is left out for good."""

    PARK = "park"
    SKIP = "skip"


class Destination(_Section):
    """A system that receives reports. ``purpose`` decides whether demonstration weights may speak to it.

    It is reached by DICOM (``ae_title``, ``host``, ``port``), or through ``dicomweb``. Structured reports are stored as the first of
    ``structured_reports`` that it accepts. ``cad_manufacturer`` and ``cad_model`` are what its CAD reports say who made them, for workstations
    that show those of known makers only. With ``commitment`` a document counts as delivered once the destination has taken
    responsibility for it, which it has ``commitment_hours`` for.
    """

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    dicomweb: DicomWeb | None = None
    ae_title: str = Field("", validate_default=True)
    host: str = Field("", validate_default=True)
    port: int = Field(0, ge=0, le=65535, validate_default=True)
    tls: DestinationTls | None = None
    purpose: Purpose = Purpose.CLINICAL
    documents: tuple[DocumentKind, ...] = DEFAULT_DOCUMENTS
    structured_reports: tuple[StructuredReport, ...] = Field(tuple(StructuredReport), min_length=1)
    not_accepted: NotAccepted = NotAccepted.PARK
    cad_manufacturer: str = Field("", max_length=64, pattern=r"^[^\\]*$")
    cad_model: str = Field("", max_length=64, pattern=r"^[^\\]*$")
    transfer_syntax: TransferSyntax = TransferSyntax.EXPLICIT
    timeout_seconds: float = Field(30.0, gt=0)
    attempts: int = Field(20, ge=1)
    retry_seconds: float = Field(5.0, gt=0)
    retry_seconds_at_most: float = Field(900.0, gt=0)
    commitment: bool = False
    commitment_hours: float = Field(24.0, gt=0)

    @field_validator("ae_title", "host", "port")
    @classmethod
    def _reachable(cls, value: str | int, field: ValidationInfo) -> str | int:
        if not value:
            if field.data.get("dicomweb"):
                return value
            raise ValueError("an AE title, a host and a port greater than 0 are expected, or a dicomweb table")
        return _ae_title(str(value)) if field.field_name == "ae_title" else value

    @field_validator("tls")
    @classmethod
    def _spoken(cls, value: DestinationTls | None, field: ValidationInfo) -> DestinationTls | None:
        web = field.data.get("dicomweb")
        if value and web and not web.url.startswith("https://"):
            raise ValueError("with a tls table the url of the dicomweb table begins with https://: by http documents go in the clear")
        return value

    @field_validator("commitment")
    @classmethod
    def _asked_by_dicom(cls, value: bool, field: ValidationInfo) -> bool:
        if value and not (field.data.get("ae_title") and field.data.get("host") and field.data.get("port")):
            raise ValueError("commitment is asked for by DICOM: ae_title, host and port are expected beside the dicomweb table")
        return value


class MessageSettings(_Section):
    """The listener for HL7 v2 messages over MLLP; ``port`` 0 switches it off.

    ``senders`` are addresses, networks or host names; an empty list admits this machine only. Messages whose MSH-11 names another
    ``processing_id`` are refused. ``unknown_types`` is how messages of types that the node does nothing with are answered.
    """

    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)
    senders: tuple[str, ...] = ()
    tls: ListenerTls | None = None
    processing_id: str = Field("P", pattern=r"^[PTD]$")
    unknown_types: str = Field("AR", pattern=r"^(AA|AE|AR)$")
    max_connections: int = Field(20, ge=1, le=1000)
    max_megabytes: int = Field(16, ge=1, le=256)
    idle_seconds: float = Field(3600.0, gt=0)
    message_seconds: float = Field(60.0, gt=0)


class ReconciliationAction(StrEnum):
    """What becomes of a study that a PACS has and the node lacks."""

    LIST = "list"
    FETCH = "fetch"


class ReconciliationSettings(_Section):
    """What the node asks a PACS, every ``interval_hours``: which mammography studies it has that were never sent here.

    ``source`` is the name of a destination, which must answer C-FIND (and C-MOVE, for ``fetch``); with none nobody is asked. The studies
    are those of ``days`` days, of which the last is ``skip_days`` days ago: what was made today may still be on its way. Of what is
    missing ``fetch_at_most`` studies are fetched each time, each ``fetch_attempts`` times.
    """

    source: str = ""
    interval_hours: float = Field(24.0, gt=0)
    days: int = Field(7, ge=1, le=366)
    skip_days: int = Field(1, ge=0, le=366)
    action: ReconciliationAction = ReconciliationAction.LIST
    fetch_at_most: int = Field(50, ge=1)
    fetch_attempts: int = Field(3, ge=1)


def _months(count: float) -> timedelta:
    return timedelta(days=count * 365.2425 / 12)


class OutcomeSettings(_Section):
    """What is made of pathology and follow-up. A report is of an exam at most ``match_months`` before it.

    Without a cancer for ``maturity_months`` after an exam it was negative, where ``follow_up_is_complete``: the hospital then tells the node
    of cancers found elsewhere too, from a registry; otherwise what was never reported on stays unknown. A cancer within
    ``work_up_months`` of an exam was detected by it, a later one is an interval cancer. Women are invited every ``round_months``: an exam that is
    taken three quarters of that after another, or later, is of the next round. ``audit_share`` of the exams that were not flagged
    are drawn by lot for a person to follow up: 0 draws none.

    Finished files (HL7 v2, FHIR, CSV) that are put into ``folder`` are read. ``codes_file`` says what the site's own codes mean,
    ``text_rules_file`` what its free text does. With ``breast_only`` the senders report on nothing but breasts, so that a result which
    names no organ is of one. ``accession_fields`` are where a message may have the accession number of the images, the best first.
    """

    match_months: float = Field(36.0, gt=0, le=120)
    maturity_months: float = Field(24.0, gt=0, le=120, validate_default=True)
    work_up_months: float = Field(6.0, gt=0, le=24)
    round_months: float = Field(24.0, gt=0, le=60)
    follow_up_is_complete: bool = True
    audit_share: float = Field(0.0, ge=0, le=1)
    folder: Path | None = None
    codes_file: Path | None = None
    text_rules_file: Path | None = None
    breast_only: bool = False
    accession_fields: tuple[Annotated[str, Field(pattern=r"^(ORC|OBR|IPC)-[1-9][0-9]?$")], ...] = ("IPC-1", "OBR-18", "OBR-3", "OBR-2")

    @field_validator("maturity_months")
    @classmethod
    def _of_an_exam(cls, value: float, field: ValidationInfo) -> float:
        if value > field.data.get("match_months", value):
            raise ValueError("not more than match_months is expected: a cancer that is matched to no exam would let it become negative")
        return value

    @property
    def match_within(self) -> timedelta:
        """How long after an exam a report can be of it."""
        return _months(self.match_months)

    @property
    def label_rules(self) -> LabelRules:
        """When what may be believed."""
        return LabelRules(
            _months(self.maturity_months), _months(self.work_up_months), _months(0.75 * self.round_months), self.follow_up_is_complete
        )


def _cron(value: str) -> str:
    if not re.fullmatch(r"(?:[\d*,/-]+ +){3}[\w*,/-]+ +(?:\*|[a-z,-]+)", value.strip(), re.IGNORECASE):
        raise ValueError(
            "minute, hour, day of the month, month and day of the week are expected, the last one by name, such as 30 2 * * sun"
        )
    return value.strip()


class RecalibrationSettings(_Section):
    """The daemon that proposes better banks and operating points. `serve` starts it beside itself where it is ``enabled``; it needs the
    extra `train`.

    ``schedule`` is cron text in the machine's own time, days of the week by name. Proposals in the shadow and in service are looked after every
    ``tend_minutes``. ``change_plan_file`` says what may change, by how much,
    and how it must be proven; with none it is the one that came with the program.
    """

    enabled: bool = False
    schedule: Annotated[str, AfterValidator(_cron)] = "30 2 * * *"
    tend_minutes: float = Field(10.0, gt=0)
    change_plan_file: Path | None = None


class DriftSettings(_Section):
    """How scanners are watched, each for itself, every ``interval_minutes``.

    A reference of ``reference_exams`` is frozen by a person's word; with ``freeze_first`` also by itself, for the scanner that a domain began
    with, and anew for one that had a reference before its bank was changed. Any other scanner key inherits nothing. The charts alarm
    falsely once in ``run_length`` exams; the latest ``recent_exams`` are held against the reference.
    """

    reference_exams: int = Field(1000, ge=300)
    freeze_first: bool = True
    run_length: int = Field(5000, ge=100, le=20_000)
    recent_exams: int = Field(500, ge=100)
    interval_minutes: float = Field(30.0, gt=0)


class MonitoringSettings(_Section):
    """Where Prometheus and health probes are answered (``port`` 0 switches it off), and how logs look.

    A process that does not say for ``hung_seconds`` that it still works is killed and started again.
    """

    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: str = Field("console", pattern=r"^(console|json)$")
    hung_seconds: float = Field(120.0, ge=2)


class AuditSyslog(_Section):
    """A syslog server that takes the audit trail over TLS (RFC 5425)."""

    host: str = Field(min_length=1)
    port: Port = 6514
    tls: DestinationTls = DestinationTls()


class AuditSettings(_Section):
    """Where the audit trail is handed on to, beside the ledger: as DICOM audit messages to ``file`` and ``syslog``.

    ``anchors_file``, which should lie on another volume or machine, gets number and hash of its rows, which show whether its
    end was cut off.
    """

    file: Path | None = None
    anchors_file: Path | None = None
    syslog: AuditSyslog | None = None


class Settings(_Section):
    """The whole tree."""

    node: NodeSettings = NodeSettings()
    reception: ReceptionSettings = ReceptionSettings()
    storage: StorageSettings = StorageSettings()
    database: DatabaseSettings = DatabaseSettings()
    studies: StudySettings = StudySettings()
    releases: ReleaseSettings = ReleaseSettings()
    worker: WorkerSettings = WorkerSettings()
    destinations: tuple[Destination, ...] = ()
    messages: MessageSettings = MessageSettings()
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    recalibration: RecalibrationSettings = RecalibrationSettings()
    drift: DriftSettings = DriftSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    audit: AuditSettings = AuditSettings()

    @property
    def documents(self) -> frozenset[DocumentKind]:
        """The kinds of document that are made of every study: what any destination asks for, and those that are always kept."""
        return frozenset(DEFAULT_DOCUMENTS).union(*(each.documents for each in self.destinations))

    def destination(self, name: str) -> Destination:
        """The destination of that name; raises `NoSuchDestination`."""
        for destination in self.destinations:
            if destination.name == name:
                return destination
        raise NoSuchDestination(name=name, known=", ".join(each.name for each in self.destinations) or "none")
