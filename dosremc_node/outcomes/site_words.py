"""What the words of a body site or specimen say: which side, whether of a breast.

Only of a field that the standard keeps for the site (SPM-8, OBX-20, FHIR bodySite ...) and never of a report's text: there "left" may stand
in any sentence. Whole words, in the languages of the tables below; what is abbreviated a site's own table has to say.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from dosremc_node.outcomes.codes import BOTH, LEFT, RIGHT, Meaning, Organ

_LEFT = """left links linke linker linkes linken linksseitig gauche sinistra sinistro sinistri sinistre izquierda izquierdo esquerda esquerdo
vänster vänstra venstre vasen lewa lewy lewej levá levý левая левой левый"""
_RIGHT = """right rechts rechte rechter rechtes rechten rechtsseitig droit droite destra destro destri destre derecha derecho direita direito
höger högra højre høyre oikea prawa prawy prawej pravá pravý правая правой правый"""
_BOTH = """both bilateral beide beider beidseits beidseitig bds bilatéral bilatérale bilaterale bilaterali ambas ambos entrambe entrambi
tweezijdig bilateraal bilateralt obustronnie"""
_BREAST = """breast breasts brust brüste brustdrüse mamma mammae mammary mammaire mammaria sein seins mammella mammelle mama mamas
borst borsten bröst bryst brystet rinta pierś piersi prs грудь груди молочная молочной"""
_SIDES: Final = {**dict.fromkeys(_LEFT.split(), LEFT), **dict.fromkeys(_RIGHT.split(), RIGHT), **dict.fromkeys(_BOTH.split(), BOTH)}
_BREASTS: Final = frozenset(_BREAST.split())
# Written without spaces, so that no word ends anywhere.
_UNSPACED_SIDES: Final = (("両側", BOTH), ("双侧", BOTH), ("雙側", BOTH), ("양측", BOTH), ("左", LEFT), ("좌측", LEFT), ("왼쪽", LEFT), ("右", RIGHT), ("우측", RIGHT), ("오른쪽", RIGHT))  # fmt: skip
_UNSPACED_BREASTS: Final = ("乳房", "乳腺", "乳癌", "유방")
_NODES: Final = re.compile(
    r"axill|achsel|aissell|ascell|oksel|armhål|подмыш|lymph|linf|sentinel|wächter|ganglio|lymf|węz|腋|リンパ|淋巴|림프|겨드랑"
)


def meaning_of_words(text: str) -> Meaning:
    """What the words of a site say; nothing where they are not known. More than one side is both."""
    plain = unicodedata.normalize("NFC", text).casefold()
    words = set(re.findall(r"[^\W\d_]+", plain))
    sides = frozenset[object]().union(
        *(_SIDES[word] for word in words & _SIDES.keys()), *(side for sign, side in _UNSPACED_SIDES if sign in plain)
    )
    return Meaning(None, BOTH & sides, _organ(plain, words))


def _organ(plain: str, words: set[str]) -> Organ | None:
    if _NODES.search(plain):
        return Organ.NODES
    return Organ.BREAST if words & _BREASTS or any(sign in plain for sign in _UNSPACED_BREASTS) else None
