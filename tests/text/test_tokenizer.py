"""Tokenizers: ids, offsets into the original, round trips, one JSON file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import InputError, ModelFolderError, SettingsError
from regard.text import BOS, EOS, PAD, SPECIALS, UNK, Tokenizer
from regard.text.tokenizer import Kind

SENTENCES = [
    "Ein Hund läuft über die Wiese.",
    "Ein Mann (mit Hut) fährt Rad!",
    "Der Hund's T-Shirt kostet 3.50 Euro, sagt der Mann.",
    "A dog runs across the meadow.",
]
KINDS: tuple[Kind, ...] = ("bpe", "word", "char")
kinds = pytest.mark.parametrize("kind", KINDS)
LETTERS = "".join(sorted(set("".join(SENTENCES)) - {" "}))


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {kind: Tokenizer.train(SENTENCES, kind=kind, size=120) for kind in KINDS}


def test_special_ids_are_the_same_everywhere(tokenizers: dict[str, Tokenizer]) -> None:
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    for tokenizer in tokenizers.values():
        assert tokenizer.vocabulary[:4] == SPECIALS
        assert len(tokenizer) == len(tokenizer.vocabulary) <= 120


def test_words_by_hand() -> None:
    tokenizer = Tokenizer.train(["the dog, the cat"], kind="word")
    # By count, then by name: the (2), "," cat dog (1 each).
    assert tokenizer.vocabulary[4:] == ("the", ",", "cat", "dog")
    encoding = tokenizer.encode("The dog,  the fox")
    assert encoding.ids == [UNK, 7, 5, 4, UNK]
    assert encoding.offsets == [(0, 3), (4, 7), (7, 8), (10, 13), (14, 17)]
    assert encoding.surfaces == ["The", "dog", ",", "the", "fox"]
    assert tokenizer.decode(encoding.ids) == "<unk> dog, the <unk>"


def test_bpe_merges_the_most_frequent_pair_by_hand() -> None:
    # With the block for the space: "▁a" occurs 3 times and is merged before "ab", twice.
    tokenizer = Tokenizer.train(["ab ab a"], kind="bpe", size=4 + 3 + 1)
    assert tokenizer.vocabulary[4:] == ("a", "b", "▁", "▁a")
    assert tokenizer.encode("ab ba").tokens == ["▁a", "b", "▁", "b", "a"]
    assert tokenizer.encode("ab ba").offsets == [(0, 1), (1, 2), (3, 3), (3, 4), (4, 5)]


def test_pieces_do_not_mix_letters_and_punctuation(tokenizers: dict[str, Tokenizer]) -> None:
    for text in SENTENCES:
        for surface in tokenizers["bpe"].encode(text).surfaces:
            assert surface.isalnum() or not any(map(str.isalnum, surface))


@kinds
def test_offsets_point_into_the_original(kind: Kind) -> None:
    tokenizer = Tokenizer.train(["été à Lyon, 日本 !"], kind=kind)
    text = "  e\u0301te\u0301\u2028a\u0300  Lyon !"
    encoding = tokenizer.encode(text)
    assert UNK not in encoding.ids
    joined = "".join(encoding.surfaces)
    assert joined.replace("  ", " ").replace("\u2028", " ").replace(" ", "") == text.replace(
        "\u2028", ""
    ).replace(" ", "")
    assert encoding.surfaces[-1] == "!"


@settings(max_examples=60)
@given(text=st.text(), kind=st.sampled_from(KINDS))
def test_offsets_are_ordered_and_cover_every_visible_character(
    tokenizers: dict[str, Tokenizer], text: str, kind: Kind
) -> None:
    encoding = tokenizers[kind].encode(text)
    assert len(encoding) == len(encoding.tokens) == len(encoding.offsets)
    position = 0
    for start, end in encoding.offsets:
        assert position <= start <= end <= len(text)
        position = start
    covered = {i for start, end in encoding.offsets for i in range(start, end)}
    for i, character in enumerate(text):
        assert i in covered or character.isspace() or character == "\u2581"


@settings(max_examples=100)
@given(words=st.lists(st.text(alphabet=LETTERS + " \t\u0301", max_size=8)))
@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_round_trip_is_exact_up_to_normalising(
    tokenizers: dict[str, Tokenizer], kind: Kind, words: list[str]
) -> None:
    tokenizer = tokenizers[kind]
    text = " ".join(words)
    encoding = tokenizer.encode(text)
    if UNK not in encoding.ids:
        assert tokenizer.decode(encoding.ids) == tokenizer.normalizer(text)


@kinds
def test_decode_leaves_out_padding_and_ends(tokenizers: dict[str, Tokenizer], kind: Kind) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode(SENTENCES[0]).ids
    assert tokenizer.decode([BOS, *ids, EOS, PAD, PAD]) == SENTENCES[0]


@kinds
def test_text_that_spells_a_special_token_stays_text(
    tokenizers: dict[str, Tokenizer], kind: Kind
) -> None:
    ids = tokenizers[kind].encode("</s> <pad> <s> </s>").ids
    assert not {PAD, BOS, EOS} & set(ids)


@kinds
@pytest.mark.parametrize("text", ["", "   ", "\u0085\n"])
def test_nothing_has_no_ids(tokenizers: dict[str, Tokenizer], kind: Kind, text: str) -> None:
    assert tokenizers[kind].encode(text).ids == []
    assert tokenizers[kind].decode([]) == ""


@kinds
def test_half_a_surrogate_pair_is_unknown(tokenizers: dict[str, Tokenizer], kind: Kind) -> None:
    encoding = tokenizers[kind].encode("Ein \udce4")
    assert encoding.ids[-1] == UNK
    assert encoding.surfaces[-1] == "\udce4"


@kinds
def test_batch_is_one_by_one(tokenizers: dict[str, Tokenizer], kind: Kind) -> None:
    texts = [*SENTENCES, "", "e\u0301"]
    assert tokenizers[kind].encode_batch(texts) == [tokenizers[kind].encode(t) for t in texts]


@kinds
def test_saved_and_loaded_is_the_same(
    tokenizers: dict[str, Tokenizer], kind: Kind, tmp_path: Path
) -> None:
    tokenizers[kind].save(tmp_path / "source.json")
    loaded = Tokenizer.load(tmp_path / "source.json")
    assert [file.name for file in tmp_path.iterdir()] == ["source.json"]
    assert loaded.vocabulary == tokenizers[kind].vocabulary
    assert (loaded.kind, loaded.normalizer) == (kind, tokenizers[kind].normalizer)
    for text in [*SENTENCES, "</s> e\u0301 unseen"]:
        assert loaded.encode(text) == tokenizers[kind].encode(text)


def test_lower_case_and_form_are_kept(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["Ein ﬁsch"], kind="word", lowercase=True, form="NFKC")
    tokenizer.save(tmp_path / "t.json")
    assert Tokenizer.load(tmp_path / "t.json").encode("EIN FISCH").tokens == ["ein", "fisch"]


def test_min_count_leaves_out_the_rare() -> None:
    assert Tokenizer.train(["a a b"], kind="word", min_count=2).vocabulary[4:] == ("a",)


@kinds
def test_size_is_never_exceeded(kind: Kind) -> None:
    assert len(Tokenizer.train(SENTENCES, kind=kind, size=11)) <= 11


def test_learning_is_the_same_in_another_process(tokenizers: dict[str, Tokenizer]) -> None:
    code = (
        "import sys, json; from regard.text import Tokenizer;"
        "print(json.dumps([Tokenizer.train(json.load(sys.stdin), kind=k, size=120).vocabulary"
        " for k in ['bpe']]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(SENTENCES),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [list(tokenizers["bpe"].vocabulary)]


def test_nothing_to_learn_from() -> None:
    with pytest.raises(InputError, match="nothing to learn a vocabulary from"):
        Tokenizer.train(["", "  "])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bpee"}, "did you mean 'bpe'"),
        ({"size": 4}, "no room"),
        ({"min_count": 0}, "expected 1 or more"),
    ],
)
def test_impossible_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Tokenizer.train(SENTENCES, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a tokenizer written by regard"),
        ('{"version": "1.0", "model": {}}', "not a tokenizer written by regard"),
        ('{"format": "regard-tokenizer", "version": 99}', "try a newer regard"),
        ('{"format": "regard-tokenizer", "version": 1}', "damaged"),
    ],
)
def test_foreign_and_damaged_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ModelFolderError, match=message):
        Tokenizer.load(tmp_path / "t.json")


def test_a_tokenizer_with_other_special_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    Tokenizer.train(SENTENCES, kind="word").save(path)
    path.write_text(path.read_text(encoding="utf-8").replace("<pad>", "[PAD]"), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="ids 0 to 3"):
        Tokenizer.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="cannot be read"):
        Tokenizer.load(tmp_path / "no.json")


def test_random_bytes_are_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFolderError):
        Tokenizer.load(tmp_path / "t.json")


@kinds
def test_captions_come_back(shared_data: Path, kind: Kind) -> None:
    text = (shared_data / "multi30k-de-en" / "val.de").read_text(encoding="utf-8")
    lines = [line for line in text.split("\n") if line.strip()]
    tokenizer = Tokenizer.train(lines, kind=kind, size=8000)
    encodings = tokenizer.encode_batch(lines)
    same = sum(
        tokenizer.decode(encoding.ids) == tokenizer.normalizer(line)
        for encoding, line in zip(encodings, lines, strict=True)
    )
    assert same >= (len(lines) if kind != "word" else 0.97 * len(lines))
