"""Orthanc stores, indexes and returns each kind of document of each kind of study, sent by DCMTK's dcmsend."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import pydicom
import pytest

from dosremc_node.simulation.pacs import Orthanc

STUDIES = (
    "positive",
    "negative",
    "unknown-scanner",
    "nothing-decoded",
    "second-revision",
    "no-numbers",
    "japanese",
    "greek",
    "german",
    "utf-8",
)


@pytest.fixture
def instances_on(orthanc: Orthanc, dcmtk: Callable[[str], str]) -> Callable[[Sequence[Any]], dict[str, str]]:
    """Empties Orthanc, sends it documents, and gives its handle of each by SOP Instance UID."""

    def send(documents: Sequence[Any]) -> dict[str, str]:
        for study in json.loads(orthanc._request("GET", "/studies")):
            orthanc._request("DELETE", f"/studies/{study}")
        command = [dcmtk("dcmsend"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port)]
        subprocess.run([*command, *(each.path for each in documents)], check=True, capture_output=True)
        listed = json.loads(orthanc._request("GET", "/instances?expand"))
        return {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in listed}

    return send


def test_orthanc_stores_indexes_and_returns_each(
    filed: Sequence[Any], orthanc: Orthanc, instances_on: Callable[[Sequence[Any]], dict[str, str]]
) -> None:
    """Each stands in its series with its description, under the woman's name in her own script, and comes back as it was sent."""
    for name in STUDIES:
        documents = [each for each in filed if each.name == name]
        found = instances_on(documents)
        assert found.keys() == {each.document.sop_instance_uid for each in documents}
        series = {}
        for each in json.loads(orthanc._request("GET", "/series?expand")):
            series[each["MainDicomTags"]["SeriesInstanceUID"]] = each["MainDicomTags"]
        for each in documents:
            sent = pydicom.dcmread(each.path)
            assert pydicom.dcmread(BytesIO(orthanc.fetch(found[sent.SOPInstanceUID]))) == sent
            indexed = series[each.document.series_instance_uid]
            assert (indexed["SeriesDescription"], indexed["Modality"]) == (each.document.description, sent.Modality)
        (study,) = json.loads(orthanc._request("GET", "/studies?expand"))
        assert study["MainDicomTags"]["StudyInstanceUID"] == sent.StudyInstanceUID
        if name != "japanese":  # Debian's Orthanc converts no ISO 2022 with code extensions
            assert study["PatientMainDicomTags"]["PatientName"] == str(sent.get("PatientName", ""))
