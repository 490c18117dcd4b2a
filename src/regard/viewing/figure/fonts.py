"""Fonts that have the characters of a text, found by asking matplotlib's font manager."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

from matplotlib.font_manager import FontEntry, FontProperties, fontManager, get_font

__all__ = ["BASE", "families", "warn_of_boxes"]

BASE = "DejaVu Sans"
"""Font that comes with matplotlib; others are only asked for characters that it lacks."""
_REGULAR = (400, "400", "normal", "regular", "book", "medium", 500)
_PLACEHOLDERS = ("LAST RESORT", "ADOBE BLANK")  # have a glyph for everything, and it says nothing
_FOREIGN_NAMES = {"ETHIOPIC": "Ethiopic (Amharic)", "CJK": "Chinese or Japanese (CJK)"}


def families(text: str) -> list[str]:
    """Font families of a text in the order in which a character is looked for.

    Behind them stands any sans-serif, which a viewer of SVG may have others of, and if no font has some
    character, matplotlib's font of boxes: without it, each of them would be a warning when drawn.
    """
    wanted = frozenset(ord(character) for character in text) - _base_characters()
    boxes = [name for name in _box_fonts() if any(_font_of(code) is None for code in wanted)]
    return [BASE, *_families_of(wanted), "sans-serif", *boxes]


def warn_of_boxes(texts: Iterable[str]) -> None:
    """Warn once, naming the scripts, if no installed font has some characters, which are drawn as boxes."""
    wanted = frozenset(ord(character) for text in texts for character in text) - _base_characters()
    missing = {_script(chr(code)) for code in wanted if _font_of(code) is None and _visible(code)}
    if not missing:
        return
    names = ", ".join(sorted(_FOREIGN_NAMES.get(script, script.title()) for script in missing))
    first = sorted(missing)[0]
    example = first if first == "CJK" else first.title()
    warnings.warn(
        f"no installed font has these characters, so they are drawn as boxes: {names}; try a font of that "
        f"script, for example Noto Sans {example}, or save as .svg or .html, which keep the text",
        UserWarning,
        stacklevel=3,
    )


@cache
def _box_fonts() -> list[str]:
    """Fonts that draw a box for every character."""
    names = {font.name for font in fontManager.ttflist}
    return sorted(name for name in names if name.upper().startswith("LAST RESORT"))


@cache
def _base_characters() -> frozenset[int]:
    path = fontManager.findfont(FontProperties(family=BASE))
    return frozenset(get_font(path).get_charmap())


@cache
def _families_of(codes: frozenset[int]) -> list[str]:
    """Fonts that together have all these characters, as far as any is installed."""
    found = (_font_of(code) for code in sorted(codes) if _visible(code))
    return list(dict.fromkeys(name for name in found if name is not None))


@cache
def _font_of(code: int) -> str | None:
    """The first installed font that has a character: one named for its script, Noto before others."""
    for font in _candidates(_script(chr(code))):
        if _has(font, code):
            return str(font.name)
    return None


@cache
def _candidates(script: str) -> list[FontEntry]:
    """Upright fonts of regular weight, those for a script first."""
    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal"
        and font.weight in _REGULAR
        and not font.name.upper().startswith(_PLACEHOLDERS)
    ]

    def rank(font: FontEntry) -> tuple[bool, bool, bool, str]:
        name = font.name.upper()
        return (script not in name, not name.startswith("NOTO SANS"), "MONO" in name, name)

    return sorted(fonts, key=rank)


def _has(font: FontEntry, code: int) -> bool:
    try:
        face: Any = get_font(font.fname)
        return bool(face.get_char_index(code))
    except (OSError, RuntimeError):  # a font that was deleted, or that FreeType cannot read
        return False


def _script(character: str) -> str:
    """Name of a character's script: the first word of its name, as in TAMIL LETTER A."""
    if unicodedata.category(character)[0] not in "LM":
        return "SYMBOLS"
    return unicodedata.name(character, "UNKNOWN").split()[0].split("-")[0]


def _visible(code: int) -> bool:
    """Whether a character leaves a mark: joiners, variation selectors and the like need no glyph."""
    character = chr(code)
    return not ("\ufe00" <= character <= "\ufe0f" or unicodedata.category(character) == "Cf")
