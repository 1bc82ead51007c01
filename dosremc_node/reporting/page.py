"""The exam report as printed pages: whose it is, then what the summary report says, section by section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Final

from pydicom.dataset import Dataset
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Table, TableStyle

from dosremc_node.reporting.fonts import PLAIN, embed, markup

Line = tuple[str, str]
"""A name and what stands beside it."""


@dataclass(frozen=True, slots=True)
class Page:
    """``state`` says what the report is worth, ``person`` whose it is; ``content`` is the tree of the summary report.

    What stands below every page is the ``footer``, which may use the letters of ``person``.
    """

    title: str
    state: str
    person: Sequence[Line]
    content: Dataset
    footer: Sequence[str]


_MARGIN: Final = 18 * mm
_NAMES: Final = 42 * mm
_INK, _GREY, _RULE = HexColor("#1a1a1a"), HexColor("#5a5a5a"), HexColor("#b0b0b0")
_TEXT: Final = ParagraphStyle("text", fontName=PLAIN, fontSize=9.5, leading=13.5, textColor=_INK)
_NAME: Final = ParagraphStyle("name", _TEXT, textColor=_GREY)
_HEADING: Final = ParagraphStyle("heading", _TEXT, fontSize=12, leading=16, spaceBefore=10, spaceAfter=2)
_TITLE: Final = ParagraphStyle("title", _TEXT, fontSize=17, leading=24, spaceAfter=4)
_FOOT: Final = ParagraphStyle("foot", _NAME, fontSize=7.5, leading=10)
_LINES: Final = TableStyle(
    [
        ("FONTNAME", (0, 0), (-1, -1), PLAIN),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, _RULE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)
_ONE_AT_A_TIME: Final = Lock()
"""reportlab keeps its fonts for the whole process, and each page has other letters in them."""


def typeset(page: Page) -> bytes:
    """The page as PDF, A4, with its fonts. The same page gives the same bytes."""
    made = BytesIO()
    with _ONE_AT_A_TIME:
        embed("".join(value for _, value in page.person))
        head = [Paragraph(markup(page.title), _TITLE), Paragraph(markup(page.state), _NAME)]
        story: list[Flowable] = [*head, _table(page.person), *_sections(page.content)]
        _template(made, page.title).build(story, canvasmaker=_footed(page.footer))
    return made.getvalue()


def _template(made: BytesIO, title: str) -> SimpleDocTemplate:
    margins = {"leftMargin": _MARGIN, "rightMargin": _MARGIN, "topMargin": _MARGIN, "bottomMargin": _MARGIN + 12 * mm}
    # The patient's name is no property of the file: programs list those without opening it.
    return SimpleDocTemplate(made, pagesize=A4, invariant=1, initialFontName=PLAIN, title=title, author="", lang="en", **margins)


def _sections(content: Dataset) -> Iterable[Flowable]:
    """The lines that stand directly below ``content``, then each of its sections with a heading."""
    lines = [_line(item) for item in content.ContentSequence if item.ValueType != "CONTAINER"]
    sections = [item for item in content.ContentSequence if item.ValueType == "CONTAINER"]
    yield Paragraph(markup("Result"), _HEADING)
    yield _table(lines)
    for section in sections:
        yield Paragraph(markup(_meaning(section.ConceptNameCodeSequence)), _HEADING)
        yield _table([line for item in section.ContentSequence for line in _lines(item)])


def _lines(item: Dataset) -> Iterable[Line]:
    """An item of a section; each line of a section within it bears that one's name as well."""
    if item.ValueType != "CONTAINER":
        yield _line(item)
        return
    for below in item.ContentSequence:
        name, value = _line(below)
        yield _meaning(item.ConceptNameCodeSequence), f"{name}: {value}"


def _line(item: Dataset) -> Line:
    return _meaning(item.ConceptNameCodeSequence), _value(item)


def _value(item: Dataset) -> str:
    if item.ValueType == "NUM":
        measured = item.MeasuredValueSequence[0]
        return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
    return _meaning(item.ConceptCodeSequence) if item.ValueType == "CODE" else str(item.TextValue)


def _meaning(codes: Sequence[Dataset]) -> str:
    return str(codes[0].CodeMeaning)


def _table(lines: Sequence[Line]) -> Table:
    rows = [[Paragraph(markup(name), _NAME), Paragraph(markup(value), _TEXT)] for name, value in lines]
    # What a hostile header says of its scanner may be longer than a page.
    return Table(rows, colWidths=[_NAMES, A4[0] - 2 * _MARGIN - _NAMES], style=_LINES, hAlign="LEFT", splitInRow=1)


def _footed(footer: Sequence[str]) -> type[Canvas]:
    """A canvas that writes the footer below each page, with the number of the page."""

    class Footed(Canvas):  # type: ignore[misc]
        def showPage(self) -> None:  # noqa: N802 - the name that reportlab calls
            for number, line in enumerate(reversed([*footer, f"Page {self.getPageNumber()}"])):
                printed = Paragraph(markup(line), _FOOT)
                printed.wrapOn(self, A4[0] - 2 * _MARGIN, _FOOT.leading)
                printed.drawOn(self, _MARGIN, _MARGIN / 2 + _FOOT.leading * number)
            super().showPage()

    return Footed
