"""The normal form of a text, and the way back to its characters."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regard.errors import SettingsError
from regard.text import Normalizer

COMBINING = (
    "e\u0301o\u0328\u0302a\u0323\u0307 \u1100\u1161\u11a8각\uff76\uff9eかﾞﬁ①ǅΣςİıſ\u0344\u212b"
    "x\u3099\u031b"
)
texts = st.one_of(
    st.text(), st.text(alphabet=COMBINING), st.text(alphabet=" \t\u2581\u0085a\u0301B")
)
normalizers = st.builds(Normalizer, form=st.sampled_from(["NFC", "NFKC"]), lowercase=st.booleans())


def test_two_spellings_become_one() -> None:
    assert Normalizer()("e\u0301te\u0301") == Normalizer()("été") == "\u00e9t\u00e9"


def test_spaces_of_all_kinds_collapse() -> None:
    assert Normalizer()(" a\u0085b\u2028\tc\u2581 d\n") == "a b c d"


def test_nfkc_joins_what_means_the_same() -> None:
    assert Normalizer(form="NFKC")("ﬁ ①") == "fi 1"
    assert Normalizer()("ﬁ ①") == "ﬁ ①"


def test_alignment_by_hand() -> None:
    # "é" is written as two characters, three spaces become one, the ends are stripped.
    text = " e\u0301a   b "
    assert Normalizer()(text) == "éa b"
    assert Normalizer().align(text) == [(1, 3), (3, 4), (4, 7), (7, 8)]


def test_a_ligature_points_twice_to_its_place() -> None:
    assert Normalizer(form="NFKC").align("aﬁb") == [(0, 1), (1, 2), (1, 2), (2, 3)]


@given(normalizers, texts)
def test_normal_form_is_a_fixed_point(normalizer: Normalizer, text: str) -> None:
    once = normalizer(text)
    assert normalizer(once) == once
    assert unicodedata.is_normalized(normalizer.form, once)


@given(normalizers, texts)
@example(Normalizer(), "o\uff9e\u031b")
@example(Normalizer(form="NFKC"), "o\uff9e\u031b")
@example(Normalizer(), "\u1100\u1161\u11a8")
def test_alignment_covers_the_text_in_order(normalizer: Normalizer, text: str) -> None:
    normal, spans = normalizer(text), normalizer.align(text)
    assert len(spans) == len(normal)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before <= after for before, after in pairwise(spans))
    for character, (start, end) in zip(normal, spans, strict=True):
        # Each character comes out of its own span alone.
        assert character in normalizer._characters(text[start:end]) or character == " "
    covered = {i for start, end in spans for i in range(start, end)}
    for position, character in enumerate(text):
        # Nothing but spaces is left out, and only at the ends.
        shown = normalizer(character)
        assert position in covered or shown in ("", " ")


def test_unknown_form_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'NFKC'"):
        Normalizer(form="NKC")  # type: ignore[arg-type]


@given(normalizers, st.text(st.characters(max_codepoint=127)))
@example(Normalizer(), " \x1c\tA  b\r\n")
def test_alignment_of_ascii_is_that_of_any_text(normalizer: Normalizer, text: str) -> None:
    assert normalizer.align(text + "x") == normalizer.align(text + "ж")
    assert len(normalizer.align(text)) == len(normalizer(text))
