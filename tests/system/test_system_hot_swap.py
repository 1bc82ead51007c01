"""A release is put in force while studies flow: nothing fails, and nothing is scored half by one and half by the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, wait_until
from harness.releases import release_with_another_bank
from harness.studies import Stream

from dosremc_node import imaging
from dosremc_node.artifacts import ArtifactKind, derived_key, open_store
from dosremc_node.inference import InferenceEngine
from dosremc_node.ledger.moments import moments_under
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.revisions import get_revision
from dosremc_node.ledger.states import StudyState
from dosremc_node.records import Domain, StudyId
from dosremc_node.releases import default_shelf
from dosremc_node.settings import ReleaseSettings
from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]

SWAPPED = Domain("simulated-b")


def assessed_with(node: RunningNode) -> set[str]:
    """The releases that studies which are done were scored with."""
    return {study.release_id for study in list_studies(node.ledger, [StudyState.DONE])}


def logits_say(node: RunningNode, study_id: StudyId) -> bool:
    """Whether every logit that the ledger has of a study is, bit by bit, that of the release and the bank it was pinned to."""
    revision, engine = get_revision(node.ledger, study_id, 1), InferenceEngine(1)
    release, bank = default_shelf(node.settings.releases).load(revision.plan.release_id), revision.plan.bank
    assert bank is not None
    assert release.release.banks[bank.domain] == bank
    store, kept = open_store(node.settings.storage), {image.sop_instance_uid: image.logit for image in node.assessment(study_id).images}
    for image in revision.to_score:
        network_input = store.read(derived_key(ArtifactKind.INPUT, f"{image.sha256}-{release.release.preprocessing_sha256}"))
        if engine.score(release, bank, imaging.decode_input(network_input)).logit != kept[image.header.sop_instance_uid]:
            return False
    return True


def test_a_release_is_put_in_force_while_studies_flow(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, tmp_path: Path
) -> None:
    """No study fails, both releases have scored, each study wholly by the one it was pinned to, and both banks were measured."""
    old = default_shelf(ReleaseSettings()).load("demonstration").release
    new = release_with_another_bank(tmp_path / "releases", "second", SWAPPED, shift=0.5)
    assert new.filters_sha256 == old.filters_sha256
    assert {domain for domain in new.banks if new.banks[domain] != old.banks[domain]} == {SWAPPED}

    node = start_node(stand_in_pacs, options=[f"releases.folder={tmp_path}/releases", "worker.moments_share=1.0"])
    with Stream(node, [image.content for image in exam_of("B", 1).images]) as stream:
        wait_until(lambda: assessed_with(node) == {"demonstration"}, "a study was scored before the swap")
        promoted = node.run("releases", "promote", "second")
        assert promoted.returncode == 0, promoted.stderr
        wait_until(lambda: assessed_with(node) == {"demonstration", "second"}, "a study was scored after the swap")
    wait_until(lambda: len(list_studies(node.ledger, [StudyState.DONE])) == stream.sent, "every study is done")

    studies = list_studies(node.ledger)
    assert all(logits_say(node, study.study_id) for study in studies)
    for release in (old, new):
        images = 4 * sum(study.release_id == release.release_id for study in studies)
        wait_until(
            lambda release=release, images=images: len(moments_under(node.ledger, release.banks[SWAPPED])) == images, "all is measured"
        )
