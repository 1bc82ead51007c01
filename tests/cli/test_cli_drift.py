"""The worker's watch and `dosremc-node drift`, over a ledger that is filled with rows directly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from harness.ledger import enter_exams
from sqlalchemy import select
from typer.testing import CliRunner

from dosremc_node.cli import app
from dosremc_node.drift import VerdictKind, verdict_on
from dosremc_node.ledger import Ledger, audit, open_ledger
from dosremc_node.ledger.drift import AlarmKind, alarms, latest_figures, references
from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.ledger.objections import object_to
from dosremc_node.ledger.outcomes import enter_report
from dosremc_node.ledger.tables import BatchNormMomentsRow, RevisionRow
from dosremc_node.monitoring.drift import drift_metrics
from dosremc_node.records import (
    BatchNormMoments,
    Diagnosis,
    Domain,
    Laterality,
    LayerMoments,
    OutcomeReport,
    OutcomeStatus,
    PatientIdentifier,
    StudyId,
    View,
    to_json,
)
from dosremc_node.releases import LoadedRelease, default_shelf
from dosremc_node.settings import DriftSettings, ReleaseSettings
from dosremc_node.watching import Watcher, look_at, serving

DOMAIN = Domain("simulated-a")
OLD, NEW = "Simulated Vendor A / Simulator A 3000 / A1.4", "Simulated Vendor A / Simulator A 3000 / A2.0"
SETTINGS = DriftSettings(reference_exams=300, run_length=300, recent_exams=200)
OPTIONS = ["--set", "drift.reference_exams=300", "--set", "drift.run_length=300", "--set", "drift.recent_exams=200"]
FIRST_DAY = date(2023, 1, 2)


@pytest.fixture(scope="module")
def release() -> LoadedRelease:
    return default_shelf(ReleaseSettings()).load("demonstration")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield opened
    opened.close()


def exams(release: LoadedRelease, key: str, first: int, count: int, *, shift: float = 0.0, in_shadow: bool = False) -> list[AssessedExam]:
    """Women of 45 to 74 with four views each, thirty a day; of those without ``shift`` every eighth or so is flagged."""
    random = np.random.default_rng(first)
    bank, point = release.release.banks[DOMAIN], release.release.operating_points[DOMAIN]
    edge = (np.log(point.threshold / (1 - point.threshold)) - point.intercept) / point.slope
    return [
        AssessedExam(
            study_id=StudyId(f"S-{number}"),
            scanner_key=key,
            domain=DOMAIN,
            release_id="demonstration",
            bank_sha256=bank.sha256,
            taken_on=FIRST_DAY + timedelta(days=number // 30),
            age=int(random.integers(45, 75)),
            in_shadow=in_shadow,
            positive=False,
            images=tuple(
                ScoredView(f"{number:060x}{side}{view}", side, view, edge + random.normal(shift - 0.6, 0.6), positive=False)
                for side in Laterality
                for view in (View.CC, View.MLO)
            ),
        )
        for number in range(first, first + count)
    ]


def measure(ledger: Ledger, release: LoadedRelease, studies: Iterable[int], *, gain: float = 1.0, tilt: float = 1.0) -> None:
    """One image of each of these studies goes through every layer as the bank expects it, or with ``gain`` times its spread, and with
    ``tilt`` times it in one layer and as much less in the next.
    """
    bank = release.bank(DOMAIN)
    layers = sorted(name.removesuffix(".running_mean") for name in bank if name.endswith(".running_mean"))
    with ledger.transaction() as session:
        for number in studies:
            random = np.random.default_rng(number)
            found = {}
            for place, layer in enumerate(layers[: len(layers) // 2 * 2]):
                mean, variance = bank[f"{layer}.running_mean"].astype(float), bank[f"{layer}.running_var"].astype(float)
                mean = mean + random.normal(0, 0.1, len(mean)) * np.sqrt(variance)
                found[layer] = LayerMoments(
                    9, tuple(mean), tuple(variance * (gain * tilt ** (-1) ** place * np.exp(random.normal(0, 0.1))) ** 2)
                )
            revision = session.scalars(select(RevisionRow).where(RevisionRow.study_id == f"S-{number}")).one()
            row = BatchNormMomentsRow(
                revision_id=revision.id, image_sha256="0" * 64, moments=to_json(BatchNormMoments(found)), measured_at=datetime.now(UTC)
            )
            session.add(row)


def watcher(ledger: Ledger) -> Watcher:
    return Watcher(ledger, default_shelf(ReleaseSettings()), SETTINGS)


def drift(ledger: Ledger, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["drift", *arguments, "--set", f"database.url={ledger.url}", *OPTIONS])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_new_processing_alarms_once_and_is_told_from_other_women(ledger: Ledger, release: LoadedRelease) -> None:
    """The first scanner's reference freezes by itself; a gain in its images alarms, in the ledger, the trail and the metrics, and no look repeats it."""
    enter_exams(ledger, exams(release, OLD, 0, 400))
    measure(ledger, release, range(0, 400, 8))
    watching = watcher(ledger)
    watching.look(datetime.now(UTC))
    assert references(ledger)[OLD].exams == 300
    assert not alarms(ledger)

    enter_exams(ledger, exams(release, OLD, 400, 200, shift=0.6))
    measure(ledger, release, range(400, 600, 8), gain=1.6)
    for each in (watching, watching, watcher(ledger)):
        each.look(datetime.now(UTC))
    raised = {alarm.kind: alarm for alarm in alarms(ledger)}
    assert len(alarms(ledger)) == len(raised)
    assert {AlarmKind.LOGIT, AlarmKind.MOMENTS} <= set(raised)
    assert raised[AlarmKind.LOGIT].detail["verdict"] == VerdictKind.ACQUISITION
    assert FIRST_DAY + timedelta(days=13) <= raised[AlarmKind.LOGIT].taken_on <= FIRST_DAY + timedelta(days=15)
    assert [entry.action for entry in audit.entries(ledger)].count("drift alarm") == len(raised)
    assert latest_figures(ledger)[OLD]["chart logit"] > 1
    shown = {sample.name: sample for metric in drift_metrics(ledger) for sample in metric.samples}
    assert shown["dosremc_drift_exams"].labels == {"scanner_key": OLD}


def test_what_goes_into_the_network_alarms_before_the_scores_do(ledger: Ledger, release: LoadedRelease) -> None:
    """Also where one layer spreads more and the next one less; it is told as something for a person, because nothing has come of it yet."""
    enter_exams(ledger, exams(release, OLD, 0, 600))
    measure(ledger, release, range(0, 400, 8))
    measure(ledger, release, range(400, 600, 8), tilt=1.3)
    settings = DriftSettings(reference_exams=300, run_length=2000, recent_exams=200)
    Watcher(ledger, default_shelf(ReleaseSettings()), settings).look(datetime.now(UTC))
    (alarm,) = alarms(ledger)
    assert alarm.kind is AlarmKind.MOMENTS
    assert alarm.detail["verdict"] == VerdictKind.AMBIGUOUS
    assert "have not yet" in alarm.detail["why"]


def test_a_new_software_version_inherits_nothing(ledger: Ledger, release: LoadedRelease) -> None:
    """It alarms as new, has no reference until a person freezes one, and that settles it."""
    enter_exams(ledger, exams(release, OLD, 0, 320))
    enter_exams(ledger, exams(release, NEW, 320, 310, shift=0.6, in_shadow=True))
    for _ in range(2):
        watcher(ledger).look(datetime.now(UTC))
    (alarm,) = alarms(ledger)
    assert (alarm.kind, alarm.scanner_key) == (AlarmKind.NEW_KEY, NEW)
    assert set(references(ledger)) == {OLD}
    found = look_at(ledger, serving(ledger, default_shelf(ReleaseSettings()), NEW))
    assert verdict_on(found, 200).kind is VerdictKind.ACQUISITION
    assert "300 exams" in drift(ledger, "freeze", "--scanner", NEW)
    assert set(references(ledger)) == {OLD, NEW}
    watcher(ledger).look(datetime.now(UTC))
    assert not alarms(ledger)


def test_the_command_prints_and_draws(ledger: Ledger, release: LoadedRelease, tmp_path: Path) -> None:
    """A table, JSON with every figure, realised performance from matured labels, and a picture of each kind."""
    enter_exams(ledger, exams(release, OLD, 0, 450))
    measure(ledger, release, range(0, 450, 5))
    watcher(ledger).look(datetime.now(UTC))
    for number in range(0, 450, 30):
        enter_report(ledger, biopsy(number), datetime.now(UTC))
    assert OLD in drift(ledger)
    (told,) = json.loads(drift(ledger, "--json", "--out", str(tmp_path / "plots")))
    assert_told(told)
    names = {path.name.rpartition("-")[2] for path in (tmp_path / "plots").iterdir()}
    assert names == {"scores.png", "charts.png", "layers.png", "mix.png", "calibration.png"}


def assert_told(told: Mapping[str, Mapping[str, object]]) -> None:
    without, became = told["without_labels"], told["with_labels"]
    assert without["verdict"]["kind"] == "well"
    assert without["views"] == {"CC": 0.5, "MLO": 0.5}
    assert set(without["charts"]) == {"logit", "flagged", "moments"}
    assert max(layer["spread"] for layer in without["layers"].values()) < 0.5
    assert became["figures"]["malignant"] == 15
    assert became["figures"]["cases"] == 900


def biopsy(number: int) -> OutcomeReport:
    """A cancer of the left breast, found a month after the exam."""
    return OutcomeReport(
        source="LAB",
        identifier=f"R{number}",
        status=OutcomeStatus.FINAL,
        patient=PatientIdentifier(f"S-{number}", "ISSUER"),
        accession_number=f"AS-{number}",
        laterality=Laterality.LEFT,
        diagnosis=Diagnosis.MALIGNANT,
        examined_on=FIRST_DAY + timedelta(days=number // 30 + 30),
    )


def test_a_woman_who_objects_leaves_the_reference(ledger: Ledger, release: LoadedRelease) -> None:
    """What was frozen of her before is not used any more."""
    enter_exams(ledger, exams(release, OLD, 0, 320))
    watcher(ledger).look(datetime.now(UTC))
    object_to(ledger, PatientIdentifier("S-7", "ISSUER"), "a person", "by letter")
    found = look_at(ledger, serving(ledger, default_shelf(ReleaseSettings()), OLD))
    assert found.reference is not None
    assert len(found.reference) == 299


def test_a_settled_alarm_waits_no_more(ledger: Ledger, release: LoadedRelease) -> None:
    """It is gone from the list and in the trail, and cannot be settled twice."""
    enter_exams(ledger, exams(release, OLD, 0, 10))
    enter_exams(ledger, exams(release, NEW, 10, 10))
    watcher(ledger).look(datetime.now(UTC))
    (alarm,) = json.loads(drift(ledger, "alarms", "--json"))
    drift(ledger, "settle", str(alarm["alarm_id"]), "--because", "a new unit")
    watcher(ledger).look(datetime.now(UTC))
    assert json.loads(drift(ledger, "alarms", "--json")) == []
    again = CliRunner().invoke(app, ["drift", "settle", str(alarm["alarm_id"]), "--because", "x", "--set", f"database.url={ledger.url}"])
    assert "no open alarm" in str(again.exception)
