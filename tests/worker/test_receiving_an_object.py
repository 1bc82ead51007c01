"""What happens to an object between the spool and the ledger, whatever its C-STORE request called it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.rejections import rejection_note

from dosremc_node.artifacts import ArtifactKind
from dosremc_node.configuration import load
from dosremc_node.errors import NotDicom
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.revisions import open_revision
from dosremc_node.node import Node, open_node
from dosremc_node.records import Laterality, Plan, ReceivedObject, View
from dosremc_node.simulation import VENDORS, Order, simulate_view
from dosremc_node.workflow import receive

STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node's rooms, without its processes."""
    return open_node(
        load(None, [f"storage.folder={tmp_path}/artifacts", f"database.url=sqlite:///{tmp_path}/ledger.sqlite", "studies.quiet_seconds=0"])
    )


def arrive(node: Node, content: bytes, sop_instance_uid: str, sop_class_uid: str = "1.2.840.10008.5.1.4.1.1.1.2") -> str:
    """Have an object received whose request names these UIDs; gives its artifact key."""
    key = node.store.put(ArtifactKind.IMAGE, content)
    received = ReceivedObject(
        key.rsplit("/", 1)[-1], len(content), sop_class_uid, sop_instance_uid, "1.2.840.10008.1.2.1", "UNIT", "127.0.0.1", datetime.now(UTC)
    )
    receive(node, received)
    return key


def test_an_image_is_known_by_its_data_sets_uid(node: Node) -> None:
    """Two requests that call one image by two names make one instance, and the revision has it under its own name."""
    image = simulate_view(Order(1, VENDORS["A"], binning=16.0), Laterality.LEFT, View.CC)
    arrive(node, image.content, "1.2.3")
    arrive(node, image.content, image.sop_instance_uid)
    (study,) = list_studies(node.ledger)
    assert study.images == 1
    plans: list[list[str]] = []

    def plan(images: object) -> Plan:
        assert isinstance(images, list)
        plans.append([header.sop_instance_uid for _, _, header in images])
        return Plan((), None, None, "r", None, None, None)

    open_revision(node.ledger, study.study_id, plan, datetime.now(UTC))
    assert plans == [[image.sop_instance_uid]]


def test_what_is_no_image_is_let_go(node: Node) -> None:
    """A report of somebody else's is answered with Success and leaves nothing behind."""
    key = arrive(node, b"whatever", "1.2.3", STRUCTURED_REPORT)
    assert not node.store.exists(key)
    assert list_studies(node.ledger) == []


def test_what_cannot_be_read_is_refused(node: Node) -> None:
    """Nothing is entered of it."""
    with pytest.raises(NotDicom):
        arrive(node, b"no DICOM", "1.2.3")
    assert list_studies(node.ledger) == []


def test_a_rejection_note_withdraws_and_is_let_go(node: Node) -> None:
    """What it says is in the ledger before Success is answered; the file itself is not kept, the image's is."""
    image = simulate_view(Order(1, VENDORS["A"], binning=16.0), Laterality.LEFT, View.CC)
    image_key = arrive(node, image.content, image.sop_instance_uid)
    content, uid = rejection_note([image.content])
    note_key = arrive(node, content, uid, KEY_OBJECT)
    (study,) = list_studies(node.ledger)
    assert (study.images, study.withdrawn) == (0, 1)
    assert study.due_at is not None
    assert node.store.exists(image_key)
    assert not node.store.exists(note_key)


def test_another_key_object_is_let_go(node: Node) -> None:
    """One that marks images of interest withdraws nothing."""
    image = simulate_view(Order(1, VENDORS["A"], binning=16.0), Laterality.LEFT, View.CC)
    arrive(node, image.content, image.sop_instance_uid)
    content, uid = rejection_note([image.content], "113000")
    key = arrive(node, content, uid, KEY_OBJECT)
    assert not node.store.exists(key)
    assert [study.images for study in list_studies(node.ledger)] == [1]
