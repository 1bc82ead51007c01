"""``doctor``: what is wrong with this node, in plain words."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import typer
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dosremc_node.cli.common import ConfigOption, JsonOption, SetOption, output, print_json, read_settings
from dosremc_node.delivery import echo, refuse_clinical_use
from dosremc_node.errors import NodeError
from dosremc_node.failures import describe
from dosremc_node.inference import choose_providers, installed_providers
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.images import image_counts
from dosremc_node.ledger.overview import latest_moment, study_counts
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.states import StudyState
from dosremc_node.releases import default_shelf
from dosremc_node.settings import Settings
from dosremc_node.studies import load_domains

_MEGABYTE = 1 << 20
_CLOCKS_MAY_DIFFER = timedelta(seconds=5)


class Verdict(StrEnum):
    GOOD = "good"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; a note is no fault."""

    subject: str
    verdict: Verdict
    words: str


Check = Callable[[Settings], Iterator[Finding]]


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(*, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """Check configuration, disk, clock, database, destinations, releases and providers. Example: dosremc-node doctor"""
    settings = read_settings(config, options)
    findings = [Finding("configuration", Verdict.GOOD, "every setting is known and fits")]
    for subject, check in _CHECKS.items():
        findings += _checked(subject, check, settings)
    if as_json:
        print_json(findings)
    else:
        colours = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.WRONG: "bold red"}
        for each in findings:
            output.print(f"[{colours[each.verdict]}]{each.verdict:<5}[/] {each.subject}: {each.words}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if any(each.verdict is Verdict.WRONG for each in findings) else 0)


def _checked(subject: str, check: Check, settings: Settings) -> list[Finding]:
    """The boundary: whatever a check trips over is itself a finding."""
    try:
        return list(check(settings))
    except (NodeError, SQLAlchemyError, OSError) as error:
        return [Finding(subject, Verdict.WRONG, describe(error))]


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.storage.folder.absolute()
    existing = next(each for each in (folder, *folder.parents) if each.is_dir())
    free, keep = shutil.disk_usage(existing).free // _MEGABYTE, settings.reception.keep_free_megabytes
    verdict = Verdict.GOOD if free > keep else Verdict.WRONG
    yield Finding("disk", verdict, f"{free:,} MB free for {settings.storage.folder}, new objects are refused below {keep:,} MB")


def _clock(settings: Settings) -> Iterator[Finding]:
    now, ledger = datetime.now(UTC), Ledger.existing(settings.database.url)
    latest = latest_moment(ledger) if ledger else None
    if latest and latest > now + _CLOCKS_MAY_DIFFER:
        yield Finding(
            "clock",
            Verdict.WRONG,
            f"it says {now:%Y-%m-%d %H:%M} UTC, but the ledger has rows of {latest:%Y-%m-%d %H:%M} UTC: set the clock",
        )
        return
    yield Finding("clock", Verdict.GOOD, f"{now.astimezone():%Y-%m-%d %H:%M:%S %Z}")


def _database(settings: Settings) -> Iterator[Finding]:
    ledger = Ledger.existing(settings.database.url)
    if ledger is None:
        yield Finding("database", Verdict.NOTE, f"no ledger at {settings.database.url} yet: the first `serve` makes it")
        return
    ledger.check_schema()
    with ledger.reading() as session:
        session.execute(text("SELECT 1"))
    yield Finding("database", Verdict.GOOD, f"{ledger.url.get_backend_name()}, schema up to date")
    broken = audit.first_broken_link(ledger)
    if broken is None:
        yield Finding("audit trail", Verdict.GOOD, "every link of the chain holds")
    else:
        yield Finding("audit trail", Verdict.WRONG, f"the chain is broken at row {broken}: a row was changed or removed")
    images = image_counts(ledger)
    if images.missing:
        yield Finding(
            "images",
            Verdict.WRONG,
            f"{images.missing} are not on the disk though nobody removed them: `dosremc-node status` says of which studies; send these again",
        )
    else:
        yield Finding(
            "images", Verdict.GOOD, f"{images.kept} on the disk when a worker last started, {images.removed} removed by retention"
        )
    parked = study_counts(ledger)[StudyState.PARKED]
    if parked:
        yield Finding("studies", Verdict.NOTE, f"{parked} parked: `dosremc-node status` says why, `dosremc-node retry` re-drives them")


def _domains(settings: Settings) -> Iterator[Finding]:
    domains = load_domains(settings.studies.domains_file)
    yield Finding("domains", Verdict.GOOD, f"{len(domains.domains)} known")


def _releases(settings: Settings) -> Iterator[Finding]:
    shelf, ledger = default_shelf(settings.releases), Ledger.existing(settings.database.url)
    for name in shelf.names():
        shelf.verify(name)
        yield Finding("release", Verdict.GOOD, f"{name}: every digest is as the manifest says")
    in_force = (release_in_force(ledger) if ledger else None) or settings.releases.initial
    release = shelf.load(in_force).release
    yield Finding("release", Verdict.NOTE if release.demonstration else Verdict.GOOD, f"{in_force} is in force: {release.statement}")
    for destination in settings.destinations:
        refuse_clinical_use(release, destination)


def _providers(settings: Settings) -> Iterator[Finding]:
    used = choose_providers(settings.worker.providers)
    yield Finding("ONNX Runtime", Verdict.GOOD, f"computes on {', then '.join(used)}; installed are {', '.join(installed_providers())}")


def _destinations(settings: Settings) -> Iterator[Finding]:
    if not settings.destinations:
        yield Finding("destinations", Verdict.NOTE, "there are none: studies are assessed, and their reports stay here")
    for destination in settings.destinations:
        try:
            echo(destination, settings.node.ae_title)
            yield Finding(f"destination {destination.name}", Verdict.GOOD, f"answers C-ECHO ({destination.purpose})")
        except NodeError as error:
            yield Finding(f"destination {destination.name}", Verdict.WRONG, str(error))


def _exposure(settings: Settings) -> Iterator[Finding]:
    """A listener beyond this machine must know its peers."""
    if settings.reception.host not in ("127.0.0.1", "::1", "localhost") and not settings.reception.peers:
        yield Finding(
            "reception", Verdict.WRONG, f"listens on {settings.reception.host}, but no peers are named in [reception]: nobody may send"
        )
    else:
        yield Finding("reception", Verdict.GOOD, f"{settings.node.ae_title} on {settings.reception.host}:{settings.reception.port}")


_CHECKS: dict[str, Check] = {
    "disk": _disk,
    "clock": _clock,
    "database": _database,
    "domains": _domains,
    "reception": _exposure,
    "releases": _releases,
    "ONNX Runtime": _providers,
    "destinations": _destinations,
}
