"""Fonts are found by asking which has a character: with a font made here, and with none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from matplotlib.font_manager import fontManager

from regard.viewing import AttentionRecord
from regard.viewing.figure import draw, fonts

TAMIL = "தமிழ்"
UNASSIGNED = "\U0001f7fe"  # no font has a character that does not exist


def make_font(path: Path, characters: str, family: str) -> None:
    names = [".notdef", *(f"u{ord(c):04x}" for c in characters)]
    outline = TTGlyphPen(None)
    outline.moveTo((0, 0))
    outline.lineTo((0, 500))
    outline.lineTo((500, 0))
    outline.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):04x}" for c in characters})
    builder.setupGlyf(dict.fromkeys(names, outline.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The font manager's list with nothing but what comes with matplotlib, to add to."""
    base = [
        font for font in fontManager.ttflist if font.name.startswith((fonts.BASE, "Last Resort"))
    ]
    monkeypatch.setattr(fontManager, "ttflist", base)
    clear_caches()
    yield
    monkeypatch.undo()
    clear_caches()


def clear_caches() -> None:
    for cached in (fonts._families_of, fonts._font_of, fonts._candidates, fonts._box_fonts):
        cached.cache_clear()


def record_of(*words: str) -> AttentionRecord:
    return AttentionRecord.of(np.eye(len(words)), list(words))


def test_the_font_of_a_script_is_found_among_those_installed(
    installed: None, tmp_path: Path
) -> None:
    make_font(tmp_path / "other.ttf", "x", "Aardvark")
    make_font(tmp_path / "tamil.ttf", "".join(sorted({*TAMIL})), "Some Tamil Font")
    for name in ("other.ttf", "tamil.ttf"):
        fontManager.addfont(tmp_path / name)
    clear_caches()
    assert fonts.families(TAMIL) == ["DejaVu Sans", "Some Tamil Font", "sans-serif"]
    assert fonts.families("plain") == ["DejaVu Sans", "sans-serif"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw(record_of(TAMIL, "x"))
        drawn.canvas.draw()
    labels = drawn.axes[0].get_yticklabels()
    assert labels[0].get_fontfamily() == ["DejaVu Sans", "Some Tamil Font", "sans-serif"]
    assert labels[0].get_text() == TAMIL


def test_without_a_font_one_warning_names_the_scripts(installed: None, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"Ethiopic \(Amharic\), Tamil; .*\.svg") as caught:
        drawn = draw(record_of(TAMIL, "ሰላም", TAMIL * 2))
    assert len(caught) == 1
    drawn.savefig(tmp_path / "x.png")  # as a notebook does, without our settings: no more warnings
    with pytest.warns(UserWarning, match="Symbols"):
        draw(record_of(UNASSIGNED, "x"))


def test_in_svg_a_text_without_a_font_is_still_itself(installed: None, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Tamil"):
        content = record_of(TAMIL, "x").save(tmp_path / "x.svg").read_text(encoding="utf-8")
    assert f">{TAMIL}<" in content


def test_fonts_that_have_every_character_are_no_answer(installed: None, tmp_path: Path) -> None:
    make_font(tmp_path / "last.ttf", "த", "Last Resort Thing")
    fontManager.addfont(tmp_path / "last.ttf")
    clear_caches()
    base, generic, *boxes = fonts.families("த")
    assert (base, generic) == ("DejaVu Sans", "sans-serif")
    assert "Last Resort Thing" in boxes  # where they are drawn, and a viewer of SVG never comes
    assert fonts._font_of(ord("த")) is None
