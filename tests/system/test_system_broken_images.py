"""What a study with broken images comes to."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO

import pydicom
import pytest
from harness.node import RunningNode, send_to, wait_until
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless

from dosremc_node.records import NotAssessedReason
from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system


def cut_in_half(content: bytes) -> bytes:
    """The image compressed with JPEG 2000, and half of its stream, in an object that is otherwise whole."""
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: len(stream) // 2]])
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_a_broken_image_costs_itself_and_the_early_views_are_prepared_before_the_last(
    stand_in_pacs: StandInPacs, start_node: Callable[..., RunningNode], exam_of: Callable[..., SimulatedExam]
) -> None:
    """Three views and a truncated one: inputs are there before the study is due, three are scored, the fourth is named with its reason."""
    node, exam = start_node(stand_in_pacs, options=["studies.quiet_seconds=600"]), exam_of("A", 1)
    contents = [image.content for image in exam.images]
    send_to(node, [*contents[:2], cut_in_half(contents[2])])
    wait_until(lambda: len(node.artifacts("inputs")) == 2, "the inputs of the two whole views are made")
    assert [study["state"] for study in node.studies()] == ["receiving"]
    early = node.artifacts("inputs")
    send_to(node, contents[3:])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assessment = node.assessment(node.study_of(exam.study_instance_uid))
    assert len(assessment.images) == 3
    (refused,) = assessment.images_not_assessed
    assert (refused.sop_instance_uid, refused.reason) == (exam.images[2].sop_instance_uid, NotAssessedReason.UNREADABLE)
    assert early.items() <= node.artifacts("inputs").items()
    events = [json.loads(line) for line in node.log.read_text().splitlines() if line.startswith("{")]
    assert "image_unreadable" in {event["event"] for event in events}
