"""Which domain a scanner belongs to: the rules of ``config/domains.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from dosremc_node.configuration import shipped
from dosremc_node.errors import UnknownSetting, WrongSetting
from dosremc_node.records import Domain, ScannerKey

_KEYS = ("manufacturers", "models", "software_versions")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class DomainRule:
    """The scanners whose manufacturer, model and software version each fit one of these spellings, ``*`` standing for anything.

    Capitals do not matter, nor does how much space lies between words. Empty ``models`` or ``software_versions`` fit all.
    """

    domain: Domain
    manufacturers: tuple[str, ...]
    models: tuple[str, ...] = ()
    software_versions: tuple[str, ...] = ()

    def fits(self, scanner: ScannerKey) -> bool:
        return (
            _fits(self.manufacturers, scanner.manufacturer)
            and (not self.models or _fits(self.models, scanner.model))
            and (not self.software_versions or _fits(self.software_versions, scanner.software_version))
        )


@dataclass(frozen=True, slots=True)
class DomainTable:
    """The rules in their order: the first that fits decides."""

    rules: tuple[DomainRule, ...]

    def domain_of(self, scanner: ScannerKey) -> Domain | None:
        """The scanner's domain; None where no rule fits, as for a header without a manufacturer."""
        return next((rule.domain for rule in self.rules if rule.fits(scanner)), None)

    @property
    def domains(self) -> frozenset[Domain]:
        return frozenset(rule.domain for rule in self.rules)


def load_domains(path: Path | None = None) -> DomainTable:
    """Read a domains file, the shipped one where ``path`` is None. Raises `WrongSetting` or `UnknownSetting` with the line."""
    file = path or shipped("domains.toml")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise WrongSetting(where="studies", key="domains_file", value=str(file), expected="a text file that can be read") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongSetting(where=file, key="the file", value=file.name, expected=f"TOML, but: {error}") from None
    return _table(tables, _Place(file, text))


@dataclass(frozen=True, slots=True)
class _Place:
    """Finds the line on which something of the file stands."""

    file: Path
    text: str

    def line(self, domain: str, number: int = 0, key: str = "") -> str:
        """The place of the ``number``-th rule of a domain, or of a key in it."""
        starts = self._matching(rf"\s*\[{{0,2}}\s*\"?{re.escape(domain)}\"?\s*[\]=]") or [1]
        start = starts[min(number, len(starts) - 1)]
        keys = [line for line in self._matching(rf"\s*\"?{re.escape(key)}\"?\s*=") if key and line >= start]
        return f"{self.file}, line {min(keys, default=start)}"

    def _matching(self, pattern: str) -> list[int]:
        return [number for number, line in enumerate(self.text.splitlines(), start=1) if re.match(pattern, line)]


def _table(tables: dict[str, object], place: _Place) -> DomainTable:
    rules: list[DomainRule] = []
    for name, entries in tables.items():
        if not _NAME.fullmatch(name):
            raise WrongSetting(where=place.line(name), key="domain", value=name, expected="small letters, digits and hyphens, at most 32")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise WrongSetting(where=place.line(name), key=name, value=entries, expected=f"rules that each begin with [[{name}]]")
        rules.extend(_rule(Domain(name), number, entry, place) for number, entry in enumerate(entries))
    return DomainTable(tuple(rules))


def _rule(domain: Domain, number: int, entry: dict[str, object], place: _Place) -> DomainRule:
    for key in entry.keys() - set(_KEYS):
        remedy = f"A rule has {', '.join(_KEYS)}."
        raise UnknownSetting(where=place.line(domain, number, key), key=key, remedy=remedy)
    manufacturers, models, versions = (_spellings(domain, number, key, entry, place) for key in _KEYS)
    if not manufacturers:
        raise WrongSetting(where=place.line(domain, number), key="manufacturers", value=[], expected="at least one spelling")
    return DomainRule(domain, manufacturers, models, versions)


def _spellings(domain: Domain, number: int, key: str, entry: dict[str, object], place: _Place) -> tuple[str, ...]:
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        where = place.line(domain, number, key)
        raise WrongSetting(where=where, key=key, value=values, expected='a list of texts, such as ["HOLOGIC, Inc."]')
    return tuple(values)


def _fits(spellings: tuple[str, ...], value: str) -> bool:
    return any(re.fullmatch(translate(_plain(spelling)), _plain(value)) for spelling in spellings)


def _plain(value: str) -> str:
    return " ".join(value.split()).casefold()
