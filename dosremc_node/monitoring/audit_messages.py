"""Rows of the audit trail as DICOM audit messages (PS3.15 A.5), and these as syslog messages (PS3.15 A.6, RFC 5424).

Of a patient a message says what A.5.3 asks for and no more: the Study Instance UID and the patient ID. The name, which A.5.2
leaves to the sender, stays empty.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET

from dosremc_node.ledger.audit import ASSESS, NODE, SEND, AuditEntry
from dosremc_node.ledger.transfers import RECEIVE, REFUSE


class Source(NamedTuple):
    """Who audits: the node's name, its AE title, the name of its machine and the hospital's site."""

    node: str
    ae_title: str
    host: str


def this_source(node: str, ae_title: str) -> Source:
    """The source that this process is."""
    return Source(node, ae_title, socket.gethostname())


# --- Codes: PS3.16 CID 400 to 404, RFC 3881 --------------------------------------------------------------------------

Code = tuple[str, str, str]
APPLICATION_ACTIVITY: Code = ("110100", "DCM", "Application Activity")
AUDIT_LOG_USED: Code = ("110101", "DCM", "Audit Log Used")
INSTANCES_ACCESSED: Code = ("110103", "DCM", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED: Code = ("110104", "DCM", "DICOM Instances Transferred")
SECURITY_ALERT: Code = ("110113", "DCM", "Security Alert")
APPLICATION_START: Code = ("110120", "DCM", "Application Start")
APPLICATION_STOP: Code = ("110121", "DCM", "Application Stop")
NODE_AUTHENTICATION: Code = ("110126", "DCM", "Node Authentication")
SOFTWARE_CONFIGURATION: Code = ("110131", "DCM", "Software Configuration")
RESTRICTED_FUNCTION: Code = ("110132", "DCM", "Use of Restricted Function")
APPLICATION: Code = ("110150", "DCM", "Application")
APPLICATION_LAUNCHER: Code = ("110151", "DCM", "Application Launcher")
DESTINATION: Code = ("110152", "DCM", "Destination Role ID")
SOURCE: Code = ("110153", "DCM", "Source Role ID")
STUDY_INSTANCE_UID: Code = ("110180", "DCM", "Study Instance UID")
NODE_ID: Code = ("110182", "DCM", "Node ID")
PATIENT_NUMBER: Code = ("2", "RFC-3881", "Patient Number")
URI: Code = ("12", "RFC-3881", "URI")

SUCCESS, MINOR_FAILURE = "0", "4"
START, STOP, READ_TRAIL = "start application", "stop application", "read audit trail"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def audit_message(entry: AuditEntry, source: Source) -> bytes:
    """The row as an XML document of one line, in UTF-8."""
    root = ET.Element("AuditMessage")
    _MESSAGES.get(entry.action, _command)(root, entry, source)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + ET.tostring(root, encoding="unicode").encode()


def syslog_message(entry: AuditEntry, source: Source, *, anchor: bool = False) -> bytes:
    """The row as a syslog message; as ``anchor``, number and hash of the row only, as JSON."""
    # Facility 10 (security/authorization); severity notice, or warning for what should not have been (PS3.15 A.6.1).
    priority = 80 + (4 if entry.action.startswith(REFUSE) else 5)
    kind = "AUDIT-ANCHOR" if anchor else "DICOM+RFC3881"
    header = f"<{priority}>1 {entry.at.isoformat()} {source.host} dosremc-node {os.getpid()} {kind} - "
    return header.encode("ascii", "replace") + b"\xef\xbb\xbf" + (anchor_line(entry) if anchor else audit_message(entry, source))


def anchor_line(entry: AuditEntry) -> bytes:
    """What is kept outside this machine of a row."""
    return json.dumps({"audit_anchor": entry.sequence, "sha256": entry.sha256, "at": entry.at.isoformat()}).encode()


# --- Messages by what happened ----------------------------------------------------------------------------------------


def _application(code: Code) -> Callable[[ET.Element, AuditEntry, Source], None]:
    def message(root: ET.Element, entry: AuditEntry, source: Source) -> None:
        _event(root, entry, APPLICATION_ACTIVITY, "E", kind=code)
        _participant(root, source.node, (APPLICATION,), source.host, requestor=False)
        _participant(root, entry.actor, (APPLICATION_LAUNCHER,), source.host, requestor=True)
        _audit_source(root, source)

    return message


def _received(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    _event(root, entry, INSTANCES_TRANSFERRED, "C")
    _participant(root, entry.detail["calling_ae_title"], (SOURCE,), entry.detail["peer_address"], requestor=True)
    _participant(root, source.ae_title, (DESTINATION,), source.host, requestor=False)
    _audit_source(root, source)
    _study_and_patient(root, entry.detail)


def _sent(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    failed = entry.detail["failed"]
    _event(
        root, entry, INSTANCES_TRANSFERRED, "C", outcome=MINOR_FAILURE if failed else SUCCESS, note=f"{failed} not taken" if failed else ""
    )
    _participant(root, source.ae_title, (SOURCE,), source.host, requestor=True)
    _participant(root, entry.detail["destination"], (DESTINATION,), "", requestor=False)
    _audit_source(root, source)
    _study_and_patient(root, entry.detail)


def _assessed(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    _event(root, entry, INSTANCES_ACCESSED, "R")
    _participant(root, source.node, (), source.host, requestor=True)
    _audit_source(root, source)
    _study_and_patient(root, entry.detail)


def _refused(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    note = f"{entry.action}, {entry.detail['times']} times: {entry.detail['why']}"
    _event(root, entry, SECURITY_ALERT, "E", outcome=MINOR_FAILURE, kind=NODE_AUTHENTICATION, note=note)
    _participant(root, entry.detail["calling_ae_title"], (), entry.detail["peer_address"], requestor=True)
    _audit_source(root, source)
    _object(root, source.node, NODE_ID, "2", "13", details={"Alert Description": note})


def _read_trail(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    _event(root, entry, AUDIT_LOG_USED, "R")
    _participant(root, entry.actor, (), source.host, requestor=True)
    _audit_source(root, source)
    _object(root, source.node, URI, "2", "13", name="Security Audit Log")


def _command(root: ET.Element, entry: AuditEntry, source: Source) -> None:
    """Whatever a person, or the node of its own accord, changed."""
    code = SOFTWARE_CONFIGURATION if entry.action == "release in force" else RESTRICTED_FUNCTION
    _event(root, entry, SECURITY_ALERT, "E", kind=code)
    _participant(root, source.node if entry.actor == NODE else entry.actor, (), source.host, requestor=True)
    _audit_source(root, source)
    _object(root, source.node, NODE_ID, "2", "13", details={"Alert Description": f"{entry.action} {entry.subject}"})


_MESSAGES: Mapping[str, Callable[[ET.Element, AuditEntry, Source], None]] = {
    START: _application(APPLICATION_START),
    STOP: _application(APPLICATION_STOP),
    READ_TRAIL: _read_trail,
    RECEIVE: _received,
    ASSESS: _assessed,
    SEND: _sent,
    f"{REFUSE} association": _refused,
    f"{REFUSE} object": _refused,
}


# --- Parts of a message (the schema of PS3.15 A.5.1) ------------------------------------------------------------------


def _event(
    root: ET.Element, entry: AuditEntry, code: Code, action: str, *, outcome: str = SUCCESS, kind: Code | None = None, note: str = ""
) -> None:
    facts = {"EventActionCode": action, "EventDateTime": entry.at.isoformat(), "EventOutcomeIndicator": outcome}
    event = ET.SubElement(root, "EventIdentification", facts)
    _coded(event, "EventID", code)
    if kind:
        _coded(event, "EventTypeCode", kind)
    if note:
        ET.SubElement(event, "EventOutcomeDescription").text = _clean(note)


def _participant(root: ET.Element, user: str, roles: tuple[Code, ...], address: str, *, requestor: bool) -> None:
    facts = {"UserID": _clean(user), "UserIsRequestor": str(requestor).lower()}
    if address:
        facts |= {"NetworkAccessPointID": _clean(address), "NetworkAccessPointTypeCode": "2" if _is_ip(address) else "1"}
    participant = ET.SubElement(root, "ActiveParticipant", facts)
    for role in roles:
        _coded(participant, "RoleIDCode", role)


def _audit_source(root: ET.Element, source: Source) -> None:
    identification = ET.SubElement(root, "AuditSourceIdentification", {"AuditSourceID": f"{source.node}@{source.host}"})
    ET.SubElement(identification, "AuditSourceTypeCode", {"csd-code": "4"})  # an application server process


def _study_and_patient(root: ET.Element, detail: Mapping[str, object]) -> None:
    study = _object(root, str(detail["study_instance_uid"]), STUDY_INSTANCE_UID, "2", "3")
    description = ET.SubElement(study, "ParticipantObjectDescription")
    classes = detail["sop_classes"]
    for uid, count in classes.items() if isinstance(classes, Mapping) else ():
        ET.SubElement(description, "SOPClass", {"UID": _clean(uid), "NumberOfInstances": str(count)})
    _object(root, str(detail["patient_id"]), PATIENT_NUMBER, "1", "1")


def _object(
    root: ET.Element, name_of: str, code: Code, kind: str, role: str, *, name: str = "", details: Mapping[str, str] | None = None
) -> ET.Element:
    facts = {"ParticipantObjectID": _clean(name_of), "ParticipantObjectTypeCode": kind, "ParticipantObjectTypeCodeRole": role}
    participant = ET.SubElement(root, "ParticipantObjectIdentification", facts)
    _coded(participant, "ParticipantObjectIDTypeCode", code)
    ET.SubElement(participant, "ParticipantObjectName").text = name
    for key, value in (details or {}).items():
        encoded = base64.b64encode(value.encode("utf-8", "replace")).decode()
        ET.SubElement(participant, "ParticipantObjectDetail", {"type": key, "value": encoded})
    return participant


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    ET.SubElement(parent, name, {"csd-code": code[0], "codeSystemName": code[1], "originalText": code[2]})


def _clean(words: str) -> str:
    """Without what XML has no place for: a peer's AE title, or what it calls a patient, may be anything."""
    return _NO_XML.sub("\ufffd", words)


def _is_ip(address: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", address))
