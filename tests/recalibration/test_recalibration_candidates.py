"""The four generators, on exams of a toy scanner: what each makes, on whose exams it is judged, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness.cohorts import ToyScanner, toy_scanner
from harness.toys import HEIGHT, WIDTH, ToyNetwork, toy_examples

from dosremc_node.errors import ExamsNotConsecutive, TooFewEvents, TooFewExams
from dosremc_node.evaluation import platt, roc_auc
from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network import export_backbone, load_backbone
from dosremc_node.network.banks import bank_of, filters_digest, put_bank
from dosremc_node.network.examples import Examples
from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.prediction import Network
from dosremc_node.network.scoring import logits
from dosremc_node.network.statistics import measured_statistics
from dosremc_node.network.training import Plan
from dosremc_node.recalibration import ChangeKind, ChangePlan
from dosremc_node.recalibration.candidates import Candidate, Situation, aligned, calibrated, fine_tuned, with_statistics
from dosremc_node.recalibration.change_plan import CalibrationPlan, FineTuningPlan
from dosremc_node.recalibration.cohort import Cohort, cohort_of
from dosremc_node.recalibration.comparison import flagged_share
from dosremc_node.records import Domain, OperatingPoint
from dosremc_node.releases import LoadedRelease, ReleaseFacts, ReleaseShelf, write_release

MAKER, NEW = Domain("maker"), Domain("new")
SPEC = replace(DEFAULT_SPEC, height=HEIGHT, width=WIDTH)
SHIFT = {"contrast": 2.0, "offset": 1.5}
PLAN = ChangePlan(
    calibration=CalibrationPlan(fitted_events=10, judged_events=10),
    fine_tuning=FineTuningPlan(fitted_events=50, judged_events=50, epochs=6, rate=1e-2),
)


class ToySituation(Situation):
    """A situation whose network no graph can be asked for."""

    def network(self) -> Network:
        network = load_backbone(ToyNetwork(), self.parent.backbone())
        put_bank(network, self.parent.bank(self.scored_with), self.scored_with)
        return network


@cache
def learnt() -> ToyNetwork:
    """The toy, which knows a bright spot on its own scanner."""
    network, examples = ToyNetwork(), toy_examples(1, 400)
    train_bank(network, examples, examples.malignant, Plan(epochs=8, rate=2e-2), seed=1)
    return network


@pytest.fixture(scope="module")
def scanner() -> ToyScanner:
    """The scanner that the network learnt on: the reference."""
    network = learnt()
    return toy_scanner(1500, lambda examples: logits(network, examples), seed=100)


@cache
def shifted(in_shadow: bool = True, **how: float) -> ToyScanner:
    """Another scanner, with the network as it is."""
    network = learnt()

    def scores(examples: Examples) -> np.ndarray:
        return logits(network, examples)

    count = int(how.pop("count", 1400))
    return toy_scanner(count, scores, seed=200, scanner_key="Maker / New / 1", in_shadow=in_shadow, **(SHIFT | how))


def cohort(scanner: ToyScanner) -> Cohort:
    return cohort_of(scanner.exams, scanner.labels, scanner.women)


@pytest.fixture(scope="module")
def parent(scanner: ToyScanner, tmp_path_factory: pytest.TempPathFactory) -> LoadedRelease:
    """A release with one bank, whose operating point flags a tenth of the healthy images or so."""
    folder = tmp_path_factory.mktemp("releases")
    reference = cohort(scanner).scores
    slope, intercept = platt(reference.logits, reference.malignant)
    point = OperatingPoint(float(np.quantile(1 / (1 + np.exp(-slope * reference.logits - intercept)), 0.93)), slope, intercept)
    facts = ReleaseFacts("parent", SPEC, {"maker": point}, "test", demonstration=True, statement="none")
    network = learnt()
    write_release(folder, facts, export_backbone(network, SPEC), {MAKER: bank_of(network)})
    return ReleaseShelf([folder]).load("parent")


@pytest.fixture(scope="module")
def situation(parent: LoadedRelease, scanner: ToyScanner) -> Situation:
    """The new scanner's domain has no bank: the maker's stands in."""
    return ToySituation(parent, NEW, MAKER, PLAN, cohort(scanner).scores, parent.release.operating_points["maker"])


def flagged(candidate: Candidate, situation: Situation) -> tuple[float, float, float]:
    """The share of exams flagged: of the reference, of what judges as it is, and as the candidate has it."""
    key = candidate.judged.exams[0].scanner_key
    return (
        flagged_share(situation.reference, situation.reference_point),
        flagged_share(candidate.judged.scores, situation.point_of(key)),
        flagged_share(candidate.rescored.scores, candidate.point_of(key, situation)),
    )


def check_parts(candidate: Candidate) -> None:
    """What judges is later than what was fitted, and of other women."""
    fitted, judged = candidate.fitted.exams, candidate.judged.exams
    assert max(each.taken_on for each in fitted) <= min(each.taken_on for each in judged)
    assert not {each.study_id for each in fitted} & {each.study_id for each in judged}
    assert candidate.rescored.exams == judged


def test_alignment_without_labels_brings_a_new_scanner_to_the_reference(situation: Situation) -> None:
    """A domain without a bank gets a copy of the one that stood in, and points for itself and its scanner."""
    live = cohort(shifted(count=600))
    unlabelled = cohort_of(live.exams, {}, {exam.study_id: number for number, exam in enumerate(live.exams)})
    candidate = aligned(situation, "Maker / New / 1", unlabelled)
    wanted, before, after = flagged(candidate, situation)
    assert abs(before - wanted) > 0.2
    assert abs(after - wanted) < 0.05
    assert (candidate.kind, set(candidate.operating_points)) == (ChangeKind.ALIGNMENT, {"new", "Maker / New / 1"})
    assert candidate.bank is not None
    assert all((values == situation.parent.bank(MAKER)[name]).all() for name, values in candidate.bank.items())
    check_parts(candidate)


def test_alignment_of_a_known_domain_leaves_every_bank(situation: Situation) -> None:
    """Only the scanner's point is new."""
    candidate = aligned(replace(situation, domain=MAKER), "Maker / New / 1", cohort(shifted(count=600)))
    assert candidate.bank is None
    assert set(candidate.operating_points) == {"Maker / New / 1"}


def test_alignment_waits_for_as_many_exams_to_judge_as_to_fit(situation: Situation) -> None:
    """499 are too few for twice 250."""
    with pytest.raises(TooFewExams, match="499 exams and at least 500"):
        aligned(situation, "Maker / New / 1", cohort(shifted(count=600)).first(499))


def test_statistics_bring_the_ranking_back_and_carry_their_own_operating_point(situation: Situation) -> None:
    """Without a label the area under the curve of a new scanner recovers; the filters stay; as many exams are flagged as on the reference."""
    live = shifted()
    candidate = with_statistics(situation, cohort(live), len(live.exams), live.read)
    before, after = (roc_auc(each.scores.logits, each.scores.malignant) for each in (candidate.judged, candidate.rescored))
    assert after > before + 0.01
    wanted, _, found = flagged(candidate, situation)
    assert abs(found - wanted) < 0.06
    network = situation.network()
    filters = filters_digest(network)
    assert candidate.bank is not None
    put_bank(network, candidate.bank, NEW)
    assert filters_digest(network) == filters
    assert {name for name, values in candidate.bank.items() if (values != situation.parent.bank(MAKER)[name]).any()} == {
        f"norm{number}.{part}" for number in (1, 2, 3) for part in ("running_mean", "running_var")
    }
    check_parts(candidate)


def test_statistics_are_those_of_the_exams_and_of_the_source_as_the_plan_weighs_them(situation: Situation) -> None:
    """(N source + n target) / (N + n) to single precision, layer by layer, and none of a late layer where only early ones move."""
    live = shifted()
    taken = cohort(live)
    early = replace(situation, plan=PLAN.model_copy(update={"statistics": PLAN.statistics.model_copy(update={"early": 0.5})}))
    for each, moved in ((situation, ("norm1", "norm2", "norm3")), (early, ("norm1", "norm2"))):
        candidate = with_statistics(each, taken, len(taken), live.read)
        fitted = Examples(
            np.stack([live.pixels[sha256] for sha256, _ in candidate.fitted.images]),
            np.zeros(len(candidate.fitted.images), np.bool_),
            np.zeros((len(candidate.fitted.images), 3), np.float32),
        )
        measured, source, share = (
            measured_statistics(each.network(), fitted, seed=0),
            each.parent.bank(MAKER),
            len(fitted) / (250 + len(fitted)),
        )
        assert candidate.bank is not None
        for name, of in measured.items():
            target = share if name in moved else 0.0
            wanted = (1 - target) * source[f"{name}.running_mean"] + target * of.mean.numpy()
            np.testing.assert_allclose(candidate.bank[f"{name}.running_mean"], wanted, rtol=1e-5, atol=1e-6)


def test_statistics_of_exams_that_are_not_consecutive_are_refused(situation: Situation) -> None:
    """The recalled alone, or an interval whose images have partly gone, are another population than screening."""
    live = shifted()
    taken = cohort(live)
    with pytest.raises(ExamsNotConsecutive, match="Of 2000 exams"):
        with_statistics(situation, taken, 2000, live.read)
    lost = {image.sha256 for exam in live.exams[:100] for image in exam.images[:1]}
    without = replace(live, pixels={name: values for name, values in live.pixels.items() if name not in lost})
    with pytest.raises(ExamsNotConsecutive, match="1300 can be used"):
        with_statistics(situation, taken, len(taken), without.read)
    with pytest.raises(TooFewExams):
        with_statistics(situation, taken.first(1200), 1200, live.read)


def test_calibration_is_fitted_to_earlier_outcomes_and_judged_by_later_ones(situation: Situation) -> None:
    """Only the point of the one scanner moves, and no exam that judged before judges again."""
    live = cohort(shifted(count=600))
    known = replace(situation, domain=MAKER)
    candidate = calibrated(known, "Maker / New / 1", live, None)
    assert set(candidate.operating_points) == {"Maker / New / 1"}
    assert candidate.bank is None
    assert (candidate.fitted.scores.events, candidate.judged.scores.events) == (30, 30)
    check_parts(candidate)
    later = calibrated(known, "Maker / New / 1", live, candidate.fitted.exams[-1].taken_on)
    assert later.judged.exams[0].taken_on > candidate.fitted.exams[-1].taken_on
    with pytest.raises(TooFewEvents):
        calibrated(known, "Maker / New / 1", live, live.exams[-20].taken_on)


@pytest.mark.slow
def test_fine_tuning_learns_from_outcomes_and_flags_as_many_as_before(situation: Situation, tmp_path: Path) -> None:
    """The ranking of later exams is better than with statistics alone could be expected; filters stay the same bits."""
    live = shifted(spot=2.5)
    taken = cohort(live)
    candidate = fine_tuned(situation, taken, None, live.read, checkpoint=tmp_path / "checkpoint")
    before, after = (roc_auc(each.scores.logits, each.scores.malignant) for each in (candidate.judged, candidate.rescored))
    assert after > before + 0.03
    _, now, then = flagged(candidate, situation)
    assert abs(now - then) < 0.06
    network = situation.network()
    filters = filters_digest(network)
    assert candidate.bank is not None
    put_bank(network, candidate.bank, NEW)
    assert filters_digest(network) == filters
    check_parts(candidate)


def test_fine_tuning_needs_outcomes_enough_and_believes_no_pending_one(situation: Situation) -> None:
    """Pending is not negative: the same exams without labels are nothing to learn from."""
    live = shifted(count=600)
    with pytest.raises(TooFewEvents):
        fine_tuned(situation, cohort(live), None, live.read)
    with pytest.raises(TooFewEvents, match="There are 0"):
        fine_tuned(situation, cohort_of(live.exams, {}, live.women), None, live.read)
