"""Format tokens and numbers for display."""

from __future__ import annotations

import unicodedata

__all__ = ["begins_right_to_left", "headline", "is_right_to_left", "percent", "printable"]

_NAMED = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\x7f": "␡"}


def printable(piece: str) -> str:
    r"""A token with every invisible character made visible; a control character could rewrite the screen.

    Control characters become their pictures; direction overrides and other invisible characters
    their code point; a token of only spaces shows each of them.

    >>> printable("\x1b[2J"), printable("  "), printable("a\u202eb"), printable("")
    ('␛[2J', '␣␣', 'a<202e>b', '∅')
    """
    if not piece:
        return "∅"
    if piece.isspace():
        return "".join(_NAMED.get(c, "␣") for c in piece)
    joined = any(unicodedata.category(c) in ("So", "Lo", "Mn", "Mc") for c in piece)
    return "".join(_visible(c, joined) for c in piece)


def _visible(character: str, joined: bool) -> str:
    if character == " " or (joined and character in "\u200c\u200d"):  # emoji, Persian, Indic
        return character
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"<{code:04x}>"
    return character


def is_right_to_left(text: str) -> bool:
    """True if any character is written right to left."""
    return any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text)


def begins_right_to_left(text: str) -> bool:
    """True if a text runs from right to left, decided by its first letter (Unicode rule P2).

    >>> begins_right_to_left("2 שלום John"), begins_right_to_left("John שלום")
    (True, False)
    """
    kinds = (unicodedata.bidirectional(c) for c in text)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


def percent(weight: float) -> str:
    """A weight in at most three characters.

    >>> [percent(w) for w in (1.0, 0.996, 0.5, 0.014, 0.0049, 0.0)]
    ['100', '100', '50', '1', '·', '']
    """
    if weight < 0.0005:
        return ""
    rounded = round(100 * weight)
    return str(rounded) if rounded else "·"


def headline(parts: list[str]) -> str:
    """Join facts about a map to one line; empty ones are left out."""
    return " · ".join(part for part in parts if part)
