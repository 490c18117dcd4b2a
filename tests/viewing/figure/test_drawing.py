"""Figures: golden pictures with tolerance, and the facts a picture must hold."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from regard.errors import InputError, SettingsError
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track
from regard.viewing.colors import contrast, palette, shade, shade_text
from regard.viewing.figure import draw, history, plot_history, style, write

GOLDEN = Path(__file__).parent / "golden"


def coarse(path):
    """A picture as 12-pixel blocks: fonts may differ by a hair between versions, drawings may not."""
    grey = imread(path)[..., :3].mean(axis=-1)
    high, wide = (n // 12 * 12 for n in grey.shape)
    return grey[:high, :wide].reshape(high // 12, 12, wide // 12, 12).mean(axis=(1, 3))


def compare(drawn, name, tmp_path):
    path = write(drawn, tmp_path / f"{name}.png", dpi=72)
    golden = GOLDEN / f"{name}.png"
    if os.environ.get("REGARD_GOLDEN") == "write":
        golden.write_bytes(path.read_bytes())
    new, old = coarse(path), coarse(golden)
    high, wide = (min(pair) for pair in zip(new.shape, old.shape, strict=True))
    assert max(abs(a - b) for a, b in zip(new.shape, old.shape, strict=True)) <= 2
    assert np.abs(new[:high, :wide] - old[:high, :wide]).mean() < 0.02


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
def test_one_map(cross, view, tmp_path):
    compare(draw(cross, view=view), view, tmp_path)


def test_the_tokens_of_several_heads_stand_above_and_beside_them_all(cross):
    maps = [axes for axes in draw(cross, view="heads").axes if "head" in axes.get_xlabel()]
    above = [[label.get_text() for label in axes.get_xticklabels()] for axes in maps]
    beside = [[label.get_text() for label in axes.get_yticklabels()] for axes in maps]
    height = [axes.get_position().y0 for axes in maps]
    left = [axes.get_position().x0 for axes in maps]
    assert [axes.get_xlabel() for axes in maps] == ["head 1", "head 2", "head 3"]
    assert all(
        ("klettert" in labels) == (y == max(height))
        for labels, y in zip(above, height, strict=True)
    )
    assert all(
        ("climbs" in labels) == (x == min(left)) for labels, x in zip(beside, left, strict=True)
    )


def test_layers(layers, tmp_path):
    compare(draw(layers), "layers", tmp_path)


def test_highlight(pooling, tmp_path):
    compare(draw(pooling), "highlight", tmp_path)


def test_a_right_to_left_text_is_highlighted_from_right_to_left():
    words = ["הוא", "אמר", "hello", "בבית"]
    for text, mirrored in ((words, True), (words[::-1][1:], False)):
        record = AttentionRecord.of(np.full((1, len(text)), 0.2), ["reader"], text)
        drawn = [shown for shown in draw(record).texts if shown.get_text() in text]
        boxes = [shown.get_window_extent() for shown in drawn]
        assert [box.x0 for box in boxes] == sorted((box.x0 for box in boxes), reverse=mirrored)
        assert len(boxes) == len(text)


def test_a_history_of_one_epoch_marks_that_epoch():
    drawn = plot_history([{"epoch": 1, "train_loss": 2.0, "valid_loss": 1.5, "valid_bleu": 9.0}])
    for panel in drawn.axes:
        assert list(panel.get_xticks()) == [1]


def test_any_name_of_a_metric_can_be_drawn(tmp_path):
    drawn = plot_history([{"epoch": 1, "valid_$x^$": 1.0, "valid_北京": 2.0}])
    write(drawn, tmp_path / "x.png")


def test_history(tmp_path):
    entries = [
        {"epoch": e, "train_loss": 3 / e, "valid_loss": 2.5 / e + e / 9, "valid_bleu": 30 - 20 / e}
        for e in range(1, 9)
    ]
    compare(plot_history(entries, title="de-en"), "history", tmp_path)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_record_gives_the_same_bytes(cross, suffix, tmp_path):
    one, two = (cross.save(tmp_path / f"{n}.{suffix}").read_bytes() for n in "ab")
    assert one == two
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix] == one[
        : 5 - (suffix != "svg")
    ]


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
@pytest.mark.parametrize("scale", ["log", "row"])
def test_scales_and_single_heads(cross, view, scale, tmp_path):
    path = cross.save(tmp_path / "x.svg", view=view, scale=scale, heads=1)
    assert path.stat().st_size > 1000


def test_any_token_can_be_drawn_without_a_warning(odd_tokens, weights, tmp_path):
    n = len(odd_tokens)
    record = AttentionRecord.of(weights(1, n, n), odd_tokens, title="$\\frac{1} 日本 \x00")
    for view in ("map", "heads", "alignment"):
        record.save(tmp_path / "x.png", view=view)
    AttentionRecord.of(weights(1, 1, n), ["日本"], odd_tokens).save(tmp_path / "x.pdf")


@pytest.mark.parametrize("length", [5, 50, 500])
def test_labels_never_touch(length, weights):
    tokens = [f"token{i}" for i in range(length)]
    drawn = draw(AttentionRecord.of(weights(1, length, length), tokens))
    axes = drawn.axes[0]
    drawn.canvas.draw()
    for labels, side in ((axes.get_yticklabels(), 1), (axes.get_xticklabels(), 0)):
        boxes = [t.get_window_extent() for t in labels]
        spans = sorted((box.min[side], box.max[side]) for box in boxes)
        assert all(a[1] <= b[0] + 0.5 for a, b in pairwise(spans))
    assert drawn.get_figwidth() <= style.PAGE_WIDTH + 1


def test_a_large_summary(weights, tmp_path):
    tokens = Tokens.of([f"t{i}" for i in range(300)])
    track = Track("big", "self", "t", "t", MapSummary.of(weights(2, 300, 300), blocks=64))
    record = AttentionRecord({"t": tokens}, (track,))
    for view in ("map", "heads", "layers"):
        record.save(tmp_path / "x.png", view=view)
    with pytest.raises(InputError, match="summary"):
        record.save(tmp_path / "x.png", view="alignment")


def test_views_that_do_not_fit(cross, layers, tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'heads'"):
        draw(cross, view="head")
    with pytest.raises(InputError, match="choose with"):
        draw(layers, view="map")
    with pytest.raises(InputError, match="needs one"):
        draw(cross, view="highlight")
    with pytest.raises(SettingsError, match="unknown scale"):
        draw(cross, scale="liner")  # type: ignore[arg-type]  # what a user might type
    with pytest.raises(InputError, match="cannot save"):
        write(draw(cross), tmp_path / "x.gif")


def test_shades_by_hand():
    weights = np.array([[0.5, 0.05], [0.1, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(shade(weights), np.array([[1, 0.1], [0.2, 0]]), rtol=1e-6)
    np.testing.assert_allclose(shade(weights, "row"), np.array([[1, 0.1], [1, 0]]), rtol=1e-6)
    expected: list[list[float]] = [[1, 0.75], [1 + float(np.log10(0.2)) / 4, 0]]
    np.testing.assert_allclose(shade(weights, "log"), expected, rtol=1e-6)
    assert not shade(np.zeros((2, 2), np.float32), "log").any()


def test_a_text_read_evenly_is_pale():
    even = shade_text(np.full(20, 0.05, dtype=np.float32))
    np.testing.assert_allclose(even, 0.25, rtol=1e-5)
    sharp = shade_text(np.array([0.9, 0.05, 0.05, 0, 0, 0], dtype=np.float32))
    np.testing.assert_allclose(sharp[:2], [1, 0.05 / 0.9], rtol=1e-5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_palette_steps_evenly_and_its_text_can_be_read(theme):
    linear = np.where(
        (c := palette(theme) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    lightness = np.cbrt(luminance)
    steps = np.diff(lightness) * (-1 if theme == "light" else 1)
    assert (steps > -2e-3).all()  # bytes round
    assert np.ptp(np.convolve(steps, np.ones(32) / 32, "valid")) < 0.25 * steps.mean() + 1e-3
    for color, light in zip(palette(theme), luminance, strict=True):
        text_luminance = 1.0 if contrast(color) == "#ffffff" else 0.0
        high, low = max(text_luminance, light), min(text_luminance, light)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_history_knows_its_words():
    found = history._curves(
        [
            {"step": 10, "loss": 3.0, "lr": 0.1, "valid/bleu": 4, "note": "x", "done": True},
            {"step": 20, "loss": float("nan"), "dev_loss": 2, "accuracy": 0.5, "epoch": 1},
        ]
    )
    assert found == {
        "loss": {"training": [(10, 3.0)], "validation": [(20, 2.0)]},
        "bleu": {"validation": [(10, 4.0)]},
        "accuracy": {"validation": [(20, 0.5)]},
    }
    with pytest.raises(InputError, match="train_loss"):
        plot_history([{"epoch": 1}])


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
def test_the_verdict_stands_below_every_picture(cross, view):
    sentence = "Read this with care: gradient x input finds more than twice as much. " * 3
    marked = replace(cross, verdict=sentence)
    plain, drawn = draw(cross, view=view), draw(marked, view=view)
    (added,) = drawn.texts[len(plain.texts) :]
    assert " ".join(added.get_text().split()) == sentence.strip()
    box, wide = added.get_window_extent(), max(drawn.get_figwidth(), 0.6 * style.PAGE_WIDTH)
    assert box.y1 <= 0  # below all else; saving takes it in
    assert box.width <= wide * drawn.dpi


@pytest.mark.parametrize("title", ["the film was long " * 60, "北京大学" * 100])
def test_a_title_that_is_a_whole_text_gets_three_lines_of_a_page(cross, title):
    drawn = draw(replace(cross, title=title))
    wide = [text.get_window_extent().width / drawn.dpi for text in drawn.texts]
    assert len(wide) == 4  # and the facts
    assert max(wide) <= style.PAGE_WIDTH
    assert any(text.get_text().endswith("…") for text in drawn.texts)
