"""What a site says of its own codes and text, in files that it writes: nothing of it is active until the settings name them."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from dosremc_node.errors import SiteRulesUnreadable
from dosremc_node.outcomes.codes import BOTH, LEFT, RIGHT, Organ, Verdict
from dosremc_node.outcomes.systems import System
from dosremc_node.records import Laterality

CODES_EXAMPLE, TEXT_EXAMPLE = "outcome_codes.toml", "outcome_text.toml"


class Question(StrEnum):
    """What an observation asks (OBX-3, Observation.code)."""

    DIAGNOSIS = "diagnosis"
    SITE = "site"
    OTHER = "other"
    """History, macroscopy, receptors and the like: no code in it is of what was found."""


class Side(StrEnum):
    """The side that a code or a sentence names."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"

    @property
    def lateralities(self) -> frozenset[Laterality]:
        return {Side.LEFT: LEFT, Side.RIGHT: RIGHT, Side.BOTH: BOTH}[self]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class SiteCode(_Rule):
    """What a code means at this site. ``system`` is as the senders write it; without ``code``, ``text`` is the whole of its meaning."""

    system: str = ""
    code: str = ""
    text: str = ""
    verdict: Verdict | None = None
    side: Side | None = None
    organ: Organ | None = None
    question: Question | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.code or self.text):
            raise ValueError("a code or a text is expected")
        return self


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, TypeError) as error:
        raise ValueError(f"a regular expression is expected ({error})") from None


Pattern = Annotated[re.Pattern[str], BeforeValidator(_compiled)]


class TextRule(_Rule):
    """What a sentence means in which ``pattern`` is found, and neither ``unless`` nor, where it is ``guarded``, a negation.

    What it read waits for a person's confirmation unless it is ``trusted``.
    """

    name: str
    pattern: Pattern
    unless: Pattern | None = None
    verdict: Verdict | None = None
    side: Side | None = None
    organ: Organ | None = None
    guarded: bool = True
    trusted: bool = False


class TextRules(_Rule):
    """The rules for free text, and the words of a sentence that deny or doubt what it says."""

    negations: tuple[Pattern, ...] = ()
    rules: tuple[TextRule, ...] = ()


class SiteTable(_Rule):
    """What a site's codes mean, and which known coding system a local name of one stands for."""

    codes: tuple[SiteCode, ...] = ()
    systems: dict[str, System] = {}


_T = TypeVar("_T", bound=BaseModel)


def read_codes(file: Path | None) -> SiteTable:
    """A site's table (TOML); raises `SiteRulesUnreadable`."""
    return _read(file, SiteTable, CODES_EXAMPLE) if file else SiteTable()


def read_text_rules(file: Path | None) -> TextRules:
    """The rules of a site for free text (TOML); raises `SiteRulesUnreadable`."""
    return _read(file, TextRules, TEXT_EXAMPLE) if file else TextRules()


def _read(file: Path, kind: type[_T], example: str) -> _T:
    try:
        return kind.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SiteRulesUnreadable(file=file, where="the file", why=error.strerror, example=example) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteRulesUnreadable(file=file, where="the file", why=f"TOML text is expected ({error})", example=example) from None
    except ValidationError as error:
        first = error.errors()[0]
        where, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise SiteRulesUnreadable(file=file, where=where, why=why, example=example) from None
