"""Functions of the example programs, by values worked by hand; the documents' run trains the programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples import attention_from_scratch as scratch

E = np.e


def test_the_numpy_function():
    output, weights = scratch.attention(scratch.QUERY, scratch.KEY, scratch.VALUE)
    np.testing.assert_allclose(weights, [np.array([E, 1, E**2]) / (E + 1 + E**2)])
    np.testing.assert_array_equal(output.round(3), [[3.841, 4.841]])


def test_softmax_of_large_scores():
    np.testing.assert_allclose(scratch.softmax(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])


def test_exercise_1_divides_by_the_root_of_three():
    a, b, c = np.exp(np.array([1, 0, 2]) / 3**0.5)
    wanted = (a * 1 + b * 3 + c * 5) / (a + b + c)
    output = scratch.exercise_1(scratch.QUERY, scratch.KEY, scratch.VALUE)
    np.testing.assert_allclose(output, [[wanted, wanted + 1]])


def test_exercise_2_leaves_the_third_key_out():
    allowed = np.array([True, True, False])
    output = scratch.exercise_2(scratch.QUERY, scratch.KEY, scratch.VALUE, allowed)
    first = (E * 1 + 3) / (E + 1)  # weights e : 1 of the values 1 and 3
    np.testing.assert_allclose(output, [[first, first + 1]])


def test_exercise_3_has_a_softmax_for_each_head():
    wide = scratch.WIDE_QUERY, scratch.WIDE_KEY, scratch.WIDE_VALUE
    second = (1 + 3 * E + 5 * E) / (1 + 2 * E)
    wanted = [[3, 4, second, second + 1]]
    np.testing.assert_allclose(scratch.exercise_3(*wide, heads=2), wanted)


def test_the_module_uses_its_query_and_its_mask():
    torch.manual_seed(0)
    module = scratch.Attention(3, 6, 8)
    key, mask = torch.randn(1, 4, 6), torch.tensor([[True, True, True, False]])
    one, weights = module(torch.randn(1, 1, 3), key, mask)
    other, _ = module(torch.randn(1, 1, 3), key, mask)
    assert (one - other).abs().max() > 1e-3
    assert weights[..., 3].max() == 0
    assert scratch.same_as_regard(module) < 1e-6


def test_numbers_in_both_languages():
    pytest.importorskip("keras")
    from examples.encoder_decoder import in_english, in_german

    words = {
        1: ("ein", "one"),
        17: ("siebzehn", "seventeen"),
        40: ("vierzig", "forty"),
        300: ("drei hundert", "three hundred"),
        342: ("drei hundert zwei und vierzig", "three hundred forty two"),
        919: ("neun hundert neunzehn", "nine hundred nineteen"),
    }
    assert {n: (" ".join(in_german(n)), " ".join(in_english(n))) for n in words} == words


def test_reviews_are_read_line_by_line_and_the_question_is_left_out(tmp_path: Path):
    pytest.importorskip("keras")
    from examples.review_classifier import QUESTION, clean, read

    path = tmp_path / "reviews.txt"
    path.write_text(f'"Never\t0\n{QUESTION}  \t1\nIt\'s\x85 "good"\t1\n', encoding="utf-8")
    assert read([path]) == [('"Never', 0), ('It\'s\x85 "good"', 1)]
    assert clean("It's GOOD, 10/10!") == ["it's", "good", "10", "10"]


def test_padding_does_not_change_what_a_listener_hears():
    from examples.speech import BANDS, Listener

    torch.manual_seed(0)
    model, frames = Listener(8).eval(), torch.randn(1, 20, BANDS)
    alone, _ = model(frames, torch.tensor([20]))
    padded = torch.cat([frames, torch.zeros(1, 30, BANDS)], 1)
    beside, weights = model(torch.cat([padded, torch.randn(1, 50, BANDS)]), torch.tensor([20, 50]))
    torch.testing.assert_close(beside[:1], alone)
    assert weights[0, 10:].max() == 0


def test_light_of_patches_is_shared_out_to_their_pixels():
    from examples.vision import ACROSS, PATCH, SIZE, light

    weights = torch.zeros(ACROSS * ACROSS)
    weights[0] = 1
    lit = light(weights)
    assert lit.shape == (SIZE, SIZE)
    assert lit[:PATCH, :PATCH].sum() == 1


def test_attention_on_the_digit_of_a_caption():
    from examples.captioning import COLUMNS, END, MOST, ROWS, attention_on_digit

    weights = torch.zeros(1, MOST + 1, ROWS, COLUMNS)
    weights[0, 0, 2, 3] = 1.0  # pixels 6 and 7, inside 4 to 11
    weights[0, 1, 2, 3] = 1.0  # outside 20 to 27
    captions = torch.tensor([[5, 6, END, END]])
    begins = torch.tensor([[4, 20, 0]])
    assert attention_on_digit(weights.flatten(2), captions, begins) == 0.5
