"""What the hospital's other systems do to a node: patients mixed up, messages by HL7, studies that were never sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO

import pytest
from harness.datasets import changed
from harness.messages import Sender, fields, merge, update
from harness.node import RunningNode, send_to, wait_until
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage

from dosremc_node.ledger.demographics import identities_of
from dosremc_node.records import Laterality, PatientIdentifier
from dosremc_node.simulation import SimulatedExam, send
from dosremc_node.simulation.pacs import Orthanc, Pacs
from dosremc_node.simulation.stand_in_pacs import StandInPacs, free_port

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def summary_on(pacs: Pacs) -> list[str]:
    """Of each structured report that a PACS has: whose it is, and how many images are its evidence."""
    found = []
    for each in (dcmread(BytesIO(pacs.fetch(instance))) for instance in pacs.instances()):
        if each.SOPClassUID == ComprehensiveSRStorage and "not assessed" not in str(each.get("SeriesDescription", "")).lower():
            series = [series for study in each.CurrentRequestedProcedureEvidenceSequence for series in study.ReferencedSeriesSequence]
            found.append(f"{each.PatientID}: {sum(len(one.ReferencedSOPSequence) for one in series)}")
    return found


def test_two_women_in_one_study_are_reported_as_neither_until_a_person_decides(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """Success for every image, no report, a reason in `status` and a metric; once decided, the report is one woman's, from her images."""
    node, exam = start_node(stand_in_pacs), exam_of("A", 1, Laterality.RIGHT)
    contents = [image.content for image in exam.images]
    patient = str(dcmread(BytesIO(contents[0])).PatientID)
    send_to(node, [*contents[:3], changed(contents[3], PatientID="ANOTHER", PatientName="ROE^MARY")])
    ((study),) = node.studies()
    assert (study["state"], study["images"], "two patients" in study["reason"]) == ("parked", 4, True)
    assert 'dosremc_conflicts{kind="two-patients"} 1.0' in (node.probe("/metrics") or "")
    shown = node.run("conflicts", "show", "1").stdout
    assert all(who in shown for who in (patient, "ANOTHER", "ROE^MARY"))
    assert "ANOTHER" not in node.run("status").stdout + node.log.read_text()
    assert stand_in_pacs.instances() == []
    decided = node.run("conflicts", "resolve", "1", "--keep", "1", "--reason", "wrong worklist entry")
    assert decided.returncode == 0, decided.stderr
    wait_until(lambda: [each["state"] for each in node.studies()] == ["done"], "the study is done")
    assert summary_on(stand_in_pacs)
    assert {each.split(":")[0] for each in summary_on(stand_in_pacs)} == {patient}
    assert f"{patient}: 3" in summary_on(stand_in_pacs)
    assert not any(each.endswith(" 4") for each in summary_on(stand_in_pacs))


def test_images_that_come_again_with_corrected_demographics_are_flagged(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """Success, kept as variants, flagged on the study's own page, and neither assessed again nor reported twice; other pixels under the
    same UID (promise 4) are quarantined, counted, and take nobody's place.
    """
    node, exam = start_node(stand_in_pacs), exam_of("A", 1, Laterality.RIGHT)
    contents = [image.content for image in exam.images]
    send_to(node, contents)
    wait_until(lambda: [each["state"] for each in node.studies()] == ["done"], "the study is done")
    documents = sorted(stand_in_pacs.instances())
    send_to(node, [changed(content, PatientID="CORRECTED", PatientBirthDate="19500101") for content in contents])
    wait_until(lambda: [each["variants"] for each in node.studies()] == [4], "the copies were compared")
    (study,) = node.studies()
    assert (study["state"], study["revision"], study["images"], study["quarantined"]) == ("done", 1, 4, 0)
    assert "birth date, patient ID differ" in node.run("status").stdout
    assert sorted(stand_in_pacs.instances()) == documents
    assert node.run("conflicts", "resolve", "1", "--one-woman").returncode == 0
    assert json.loads(node.run("conflicts", "list", "--json").stdout) == []
    images = node.artifacts("images")
    send_to(node, [changed(contents[0], PixelData=dcmread(BytesIO(contents[1])).PixelData)])
    wait_until(lambda: [each["quarantined"] for each in node.studies()] == [1], "the copy was compared")
    (study,) = node.studies()
    assert (study["state"], study["revision"], study["images"], study["variants"]) == ("done", 1, 4, 4)
    assert 'dosremc_instances{standing="quarantined"} 1.0' in (node.probe("/metrics") or "")
    assert sorted(stand_in_pacs.instances()) == documents
    assert images.items() <= node.artifacts("images").items()


def test_a_merge_survives_a_kill_once_it_is_acknowledged(stand_in_pacs: StandInPacs, start_node: StartNode) -> None:
    """A40 over MLLP to the node as it is served: in the ledger when AA comes, there after kill -9, and undone by one command."""
    node = start_node(stand_in_pacs, options=[f"messages.port={free_port()}"])
    wait_until(lambda: "messages_started" in node.log.read_text(), "messages are listened for")
    sender = Sender(node.settings.messages.port)
    assert fields(sender.send(merge("P1", "P2")))[1] == "AA"
    node.kill()
    sender.close()
    assert PatientIdentifier("P1") in identities_of(node.ledger, PatientIdentifier("P2"))
    node.start()
    wait_until(lambda: node.log.read_text().count("messages_started") == 2, "messages are listened for again")
    again = Sender(node.settings.messages.port)
    assert fields(again.send(merge("P1", "P2")))[1] == "AA"
    assert fields(again.send(update("P2", name="CANARY^NAME")))[1] == "AA"
    again.close()
    (merged,) = json.loads(node.run("patients", "merges", "--json").stdout)
    assert (merged["prior"]["patient_id"], merged["patient"]["patient_id"]) == ("P1", "P2")
    assert json.loads(node.run("patients", "show", "P2", "--json").stdout)["identities"] == [
        {"patient_id": "P1", "issuer": ""}, {"patient_id": "P2", "issuer": ""},
    ]  # fmt: skip
    assert node.run("patients", "undo", str(merged["change_id"]), "--reason", "two women").returncode == 0
    assert PatientIdentifier("P1") not in identities_of(node.ledger, PatientIdentifier("P2"))
    assert 'dosremc_messages{state="applied",type="ADT^A40"} 1.0' in (node.probe("/metrics") or "")
    assert not any(secret in node.log.read_text() for secret in ("P1", "CANARY"))


def test_a_study_that_was_never_sent_is_missed_and_fetched(orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf) -> None:
    """The worker asks Orthanc by itself, has what is missing sent, and assesses it; what is there already is left alone."""
    yesterday = (datetime.now() - timedelta(days=1)).strftime("%Y%m%d")
    exam, known = exam_of("A", 1, Laterality.RIGHT), exam_of("B", 2)
    contents = [[changed(image.content, StudyDate=yesterday) for image in each.images] for each in (exam, known)]
    for each in contents:
        send(each, orthanc.host, orthanc.port, called=orthanc.ae_title)
    listing = start_node(orthanc, options=["reconciliation.source=pacs"])
    send_to(listing, contents[1])
    send_to(listing, contents[0][:1])
    wait_until(lambda: {each["state"] for each in listing.studies()} == {"done"}, "what was sent is done")
    asked = listing.run("reconcile", "--now", "--json")
    (missing,) = json.loads(asked.stdout)["missing"]
    assert (asked.returncode, missing["study_instance_uid"]) == (1, exam.study_instance_uid)
    assert (missing["images_there"], missing["images_here"], missing["fetches"]) == (4, 1, 0)
    assert "1 studies that are missing here" in listing.run("status").stdout
    assert 'dosremc_missing_studies{source="pacs"} 1.0' in (listing.probe("/metrics") or "")
    listing.stop()
    fetching = start_node(orthanc, options=["reconciliation.source=pacs", "reconciliation.action=fetch"], name="fetching")
    wait_until(lambda: [each["state"] for each in fetching.studies()] == ["done"] * 2, "both studies came and are done")
    assert [each["images"] for each in fetching.studies()] == [4, 4]
    assert fetching.run("reconcile").returncode == 0
    assert exam.study_instance_uid not in fetching.log.read_text()
