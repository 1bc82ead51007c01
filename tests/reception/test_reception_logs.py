"""What the reception prints and logs names no patient, even where the libraries beneath it would."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_STORE

from dosremc_node.errors import NotDicom
from dosremc_node.libraries import settle_dicom_libraries
from dosremc_node.records import ReceivedObject

CANARY = "4747474747"
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
TEXTS = ("PatientName", "PatientID", "AccessionNumber", "StudyID", "OtherPatientNames", "RequestingPhysician", "InstitutionName")


def marked(mammogram: Callable[..., Dataset], uid: str = f"1.2.{CANARY}") -> Dataset:
    """An object with the canary in every attribute that identifies somebody."""
    return mammogram(**dict.fromkeys(TEXTS, f"C{CANARY}"), **dict.fromkeys(UIDS, uid), PatientBirthDate=CANARY[:8])


def send_as(connect: Callable, port: int, sop_instance_uid: str) -> None:
    """A C-STORE request with an instance UID that pynetdicom would not let a well-behaved sender use."""
    association = connect(port)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request._affected_sop_instance_uid = UID("1.2.840.10008.5.1.4.1.1.1.2"), UID(sop_instance_uid)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()


@pytest.mark.parametrize("problem", [None, NotDicom(why="no view"), RuntimeError(f"duplicate key 1.2.{CANARY}"), OSError(f"{CANARY}")])
def test_no_identifier_is_printed_whatever_happens(  # noqa: PLR0917 - fixtures
    listen: Callable,
    connect: Callable,
    mammogram: Callable[..., Dataset],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    problem: Exception | None,
) -> None:
    """Canaries in all identifying attributes, UIDs included, good UIDs and bad ones: none comes out, none is answered."""
    settle_dicom_libraries()  # as at the start of a process: pytest has put handlers of its own on these loggers since
    caplog.set_level(logging.DEBUG)

    def accept(received: ReceivedObject) -> None:
        if problem:
            raise problem

    node = listen(accept=accept)
    answer = connect(node.port).send_c_store(marked(mammogram))
    assert CANARY not in answer.get("ErrorComment", "")
    for uid in (f"1.2.0{CANARY}", f"1.2.{CANARY}.a/../b", f"{CANARY}" * 10):
        send_as(connect, node.port, uid)
    node.receiver.stop(grace_seconds=0.1)
    out, err = capfd.readouterr()
    assert "object_re" in out
    for text in (out, err, caplog.text):
        assert CANARY not in text


def test_the_log_line_of_an_object(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], capfd: pytest.CaptureFixture[str]
) -> None:
    """An accepted object is one line: the beginning of its digest, its size, who sent it, how long it took."""
    node = listen()
    connect(node.port, calling="UNIT1").send_c_store(mammogram())
    line = next(line for line in capfd.readouterr().out.splitlines() if "object_received" in line)
    for part in (f"sha256={node.received[0].sha256[:12]}", f"size={node.received[0].size}", "calling_ae_title=UNIT1", "milliseconds="):
        assert part in line


def test_the_libraries_say_where_but_not_what(capfd: pytest.CaptureFixture[str]) -> None:
    """A warning of a library is logged as the place in its source and the kind of exception; its text is not, nor are details."""
    settle_dicom_libraries()
    logger = logging.getLogger("pynetdicom.utils")
    logger.info("uid %s", CANARY)
    logger.warning("uid %s", CANARY)
    logger.error(CANARY, exc_info=ValueError(CANARY))
    warnings.warn_explicit(CANARY, UserWarning, "valuerep.py", 1, module="pydicom.valuerep")
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert out.count("dicom_library") == 2
    assert "where=pynetdicom.utils:" in out
    assert "error=ValueError" in out
