"""Asking a PACS what it has, and fetching it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.reception import find_studies, move_study
from dosremc_node.settings import Destination
from dosremc_node.simulation.pacs import Orthanc


def as_peer(pacs: Orthanc, **changes: object) -> Destination:
    values = {"name": "pacs", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port, "timeout_seconds": 10}
    return Destination(**{**values, **changes})


@pytest.fixture
def filled(orthanc: Orthanc, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]) -> Orthanc:
    """An Orthanc with a mammography study of two images and another study."""
    files = [
        mammogram_file("1.dcm", StudyInstanceUID="1.2.3", PatientID="P1", AccessionNumber="A1"),
        mammogram_file("2.dcm", StudyInstanceUID="1.2.3", PatientID="P1", AccessionNumber="A1"),
        mammogram_file("3.dcm", StudyInstanceUID="1.2.4", PatientID="P1", AccessionNumber="A2", Modality="CT"),
    ]
    subprocess.run([dcmtk("dcmsend"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port), *files], check=True)
    return orthanc


def test_mammography_studies_are_found(filled: Orthanc) -> None:
    """Only mammography comes back, whichever key asks for it, and nothing where nothing matches."""
    peer = as_peer(filled)
    for keys in ({"patient_id": "P1"}, {"accession_number": "A1"}, {"study_instance_uid": "1.2.3"}, {"study_date": date(2026, 1, 2)}):
        (study,) = find_studies(peer, "MODALITY", **keys)
        assert (study.study_instance_uid, study.patient_id, study.accession_number) == ("1.2.3", "P1", "A1")
        assert (study.study_date, study.modalities, study.images) == (date(2026, 1, 2), ("MG",), 2)
    assert find_studies(peer, "MODALITY", accession_number="A2") == []
    assert find_studies(peer, "MODALITY", patient_id="NOBODY") == []


def test_a_study_comes_to_our_own_door(filled: Orthanc, listen: Callable) -> None:
    """The PACS moves the study to our receiver, and says how far it is."""
    node = listen()
    filled.knows("DOSREMC", node.port)
    progress = list(move_study(as_peer(filled), "MODALITY", "DOSREMC", "1.2.3"))
    assert (progress[-1].completed, progress[-1].failed) == (2, 0)
    assert len(node.received) == 2
    assert {received.calling_ae_title for received in node.received} == {filled.ae_title}


def test_what_identifies_a_patient_is_not_in_the_representation(filled: Orthanc) -> None:
    """A found study that is printed by accident names neither the woman nor her study."""
    (study,) = find_studies(as_peer(filled), "MODALITY", patient_id="P1")
    assert not any(value in repr(study) for value in ("P1", "A1", "1.2.3"))


def test_a_destination_that_the_pacs_does_not_know_is_a_refusal(filled: Orthanc) -> None:
    """C-MOVE to an AE title without an address raises, and names no study."""
    with pytest.raises(PeerRefused, match=r"C-MOVE|NOWHERE") as refusal:
        list(move_study(as_peer(filled), "MODALITY", "NOWHERE", "1.2.3"))
    assert "1.2.3" not in str(refusal.value)


def test_a_caller_may_stop_half_way(filled: Orthanc, listen: Callable) -> None:
    """Whoever no longer wants to know how far the PACS is does not hang."""
    node = listen()
    filled.knows("DOSREMC", node.port)
    progress = move_study(as_peer(filled), "MODALITY", "DOSREMC", "1.2.3")
    next(progress)
    progress.close()


def test_a_pacs_that_is_not_there_is_unreachable(free_port: int) -> None:
    """Nobody listening raises PeerUnreachable with name, address and AE title."""
    peer = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port, timeout_seconds=2)
    with pytest.raises(PeerUnreachable, match=f"pacs .127.0.0.1:{free_port}, AE title PACS"):
        find_studies(peer, "MODALITY", patient_id="P1")


def test_a_peer_that_lets_us_not_in_or_cannot_be_asked_refuses(listen: Callable) -> None:
    """A rejected association, and one without query and retrieve, raise PeerRefused with the reason."""
    node = listen()
    peer = Destination(name="pacs", ae_title="DOSREMC", host="127.0.0.1", port=node.port, timeout_seconds=5)
    with pytest.raises(PeerRefused, match="query"):
        find_studies(peer, "MODALITY", patient_id="P1")
    with pytest.raises(PeerRefused, match=r"(?i)called AE title"):
        find_studies(peer.model_copy(update={"ae_title": "SOMEBODY"}), "MODALITY", patient_id="P1")
