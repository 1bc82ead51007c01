"""The page of the story: its chapters with what was typed and seen, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2

from dosremc_node.records import Release


@dataclass(frozen=True, slots=True)
class Shown:
    """What was typed or done, and what was seen; ``link`` is a file beside the page."""

    title: str
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """``text`` are paragraphs."""

    title: str
    text: Sequence[str]
    shown: Sequence[Shown]


def write_page(build: Path, chapters: Sequence[Chapter], release: Release) -> None:
    """Write ``index.html`` into ``build``, where the pictures lie."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    )
    page = template.render(chapters=chapters, statement=release.statement, made=datetime.now())
    (build / "index.html").write_text(page, encoding="utf-8")
