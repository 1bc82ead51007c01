"""Dates and times as HL7 v2 and FHIR write them, however precise they are."""

from __future__ import annotations

import re
from datetime import date, datetime


def day_of(text: str) -> date | None:
    """The day of a timestamp such as ``202603011200`` or ``2026-03-01T12:00:00+01:00``; None where it is not as precise, or none."""
    found = re.match(r"(\d{4})-?(\d\d)-?(\d\d)", text.strip())
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def moment_of(text: str) -> datetime | None:
    """A timestamp with at least hours and minutes, in this machine's zone where it names none; None where it is none."""
    found = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)[T ]?(\d\d):?(\d\d)(?::?(\d\d)(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?", text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    iso = f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{(fraction or '')[:7]}{zone or ''}"
    try:
        return datetime.fromisoformat(iso).astimezone()
    except (ValueError, OverflowError):
        return None
