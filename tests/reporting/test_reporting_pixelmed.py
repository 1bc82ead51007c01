"""PixelMed's validator, which checks each row of TID 1500 and TID 4000, over the reports of plain and of extreme exams."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from harness.pixelmed import FALSE_MESSAGES, JARS, objections, said_by_pixelmed

from dosremc_node.records import DocumentKind

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not all(jar.exists() for jar in JARS), reason="PixelMed is not installed (Debian package libpixelmed-java)"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java runtime (Debian package default-jre-headless)"),
]

FOUND = {
    DocumentKind.SUMMARY: "Found ComprehensiveSR IOD",
    DocumentKind.REGION: "Found Root Template TID_1500",
    DocumentKind.CAD: "Found Root Template TID_4000",
}
OF = {
    DocumentKind.REGION: ("positive", "region-at-border", "film"),
    DocumentKind.CAD: (
        "positive",
        "negative",
        "unknown-scanner",
        "nothing-decoded",
        "one-not-decoded",
        "unilateral-five-views",
        "no-numbers",
    ),
}
"""Exams whose trees differ in what a template asks for: each takes seconds, forty regions minutes, and another name is no other tree."""


def chosen(filed: Sequence[Any]) -> list[Any]:
    """Every summary; of the exams above the CAD report, and of the region reports the first: the second is one more of the same."""
    first = {(each.name, each.document.kind): each for each in reversed(filed)}
    return [each for (name, kind), each in first.items() if kind in FOUND and name in OF.get(kind, (name,))]


def test_pixelmed_finds_no_error(filed: Sequence[Any]) -> None:
    """Nothing is missing, of a wrong value or in a wrong place, but for what is known to be false; and that is still said."""
    reports = chosen(filed)
    said = said_by_pixelmed([each.path for each in reports])
    for each, text in zip(reports, said, strict=True):
        assert FOUND[each.document.kind] in text, each.path.name
        assert not objections(text), (each.path.name, objections(text))
    for false in FALSE_MESSAGES:
        assert any(false in text for text in said), f"no longer said, so no longer to be allowed: {false}"
