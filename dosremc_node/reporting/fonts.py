"""The letters of a printed page: Noto Sans, and the glyphs of Noto Sans CJK that a text needs beyond it, all embedded in the document.

Both are under the SIL Open Font License and come as Python packages, so a page has the same letters on every machine. Latin, Greek, Cyrillic,
Japanese, Chinese and Korean can be read; signs of other scripts are printed as question marks.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from itertools import groupby
from typing import Final
from xml.sax.saxutils import escape

import fontpkg
import noto_cjk_sans_jp_regular
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._g_l_y_f import Glyph
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont as EmbeddedFont

PLAIN: Final = "NotoSans"
EAST_ASIAN: Final = "NotoSansCJK"
_QUESTION_MARK: Final = "?"
_ERROR: Final = 1.0
"""How far a curve may lie from the original, in units of a thousandth of the letter's height."""


def embed(text: str) -> None:
    """Have reportlab know the fonts with every sign of ``text``. Its register of fonts is the process's: one page at a time."""
    pdfmetrics.registerFont(EmbeddedFont(PLAIN, str(fontpkg.path("noto-sans"))))
    if beyond := {sign for sign in text if _font_of(sign) == EAST_ASIAN}:
        pdfmetrics.registerFont(EmbeddedFont(EAST_ASIAN, BytesIO(_true_type("".join(sorted(beyond))))))


def markup(text: str) -> str:
    """``text`` for a reportlab paragraph, each sign in the font that has it."""
    runs = groupby((sign if _font_of(sign) else _QUESTION_MARK for sign in text), _font_of)
    return "".join(f'<font name="{font}">{escape("".join(signs))}</font>' for font, signs in runs)


def _font_of(sign: str) -> str | None:
    if ord(sign) in _letters() or sign.isspace():
        return PLAIN
    return EAST_ASIAN if ord(sign) in _outlines().getBestCmap() else None


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    with TTFont(fontpkg.path("noto-sans"), lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=1)
def _outlines() -> TTFont:
    return TTFont(noto_cjk_sans_jp_regular.FONT_PATH, lazy=True)


def _true_type(signs: str) -> bytes:
    """The outlines of ``signs`` as a TrueType font: the original has cubic curves, and reportlab embeds quadratic ones only."""
    source = _outlines()
    names = {ord(sign): source.getBestCmap()[ord(sign)] for sign in signs}
    glyphs = {name: _quadratic(name) for name in [".notdef", *sorted(set(names.values()))]}
    builder = FontBuilder(source["head"].unitsPerEm, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(names)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(
        {name: (source["hmtx"][name][0], glyph.xMin if glyph.numberOfContours else 0) for name, glyph in glyphs.items()}
    )
    builder.setupHorizontalHeader(ascent=source["hhea"].ascent, descent=source["hhea"].descent)
    builder.setupNameTable({"familyName": EAST_ASIAN, "styleName": "Regular", "psName": EAST_ASIAN})
    builder.setupOS2()
    builder.setupPost()
    # Otherwise the moment would be in it, and the same text would not give the same bytes.
    builder.updateHead(created=0, modified=0)
    builder.font.recalcTimestamp = False
    made = BytesIO()
    builder.save(made)
    return made.getvalue()


def _quadratic(name: str) -> Glyph:
    pen = TTGlyphPen(None)
    _outlines().getGlyphSet()[name].draw(Cu2QuPen(pen, _ERROR, reverse_direction=True))
    glyph = pen.glyph()
    glyph.recalcBounds(None)
    return glyph
