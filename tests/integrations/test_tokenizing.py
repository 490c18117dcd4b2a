"""Tokens of texts, pairs, encodings and generated ids, from fast and slow tokenizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from regard.errors import InputError
from regard.integrations import tokens

TEXT = "The Matterhorn isn't unclimbable, apparently."
ZEBRA = "hello \N{ZEBRA FACE} zoo"


@pytest.fixture(scope="module")
def byte_level() -> Any:
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["hello zoo", "the dog said hello to me"] * 3, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.fixture(scope="module")
def word_piece() -> Any:
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "the", "dog", "sat", "un", "##happy", "."]
    tokenizer: Any = Tokenizer(
        models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
    )


@pytest.mark.parametrize("text", [ZEBRA, "hello\n\n  zoo \N{SNOWMAN}", "né à Zoë"])
def test_ids_say_what_their_text_says(byte_level, text):
    of_text, of_ids = tokens(byte_level, text), tokens(byte_level, byte_level(text)["input_ids"])
    assert of_ids.text == text
    assert of_ids.words().pieces == of_text.words().pieces
    assert of_ids.special == of_text.special


def test_pieces_of_one_character_share_it(byte_level):
    of_ids = tokens(byte_level, byte_level(ZEBRA)["input_ids"])
    assert of_ids.words().pieces == ("hello", "\N{ZEBRA FACE}", "zoo")
    assert all(span in ((0, 5), (5, 6), (6, 7), (7, 11)) for span in of_ids.offsets)


def test_a_character_that_was_cut_off_is_kept(byte_level):
    ids = byte_level(ZEBRA)["input_ids"][:-2]
    assert len(tokens(byte_level, ids)) == len(ids)
    assert tokens(byte_level, ids).text.startswith("hello")


def test_pieces_within_a_word_are_found(word_piece):
    of_ids = tokens(word_piece, word_piece("the unhappy dog")["input_ids"])
    assert of_ids.text.split() == ["the", "unhappy", "dog"]
    assert of_ids.words().pieces == ("[CLS]", "the", "unhappy", "dog", "[SEP]")


def test_a_pair_is_one_text(word_piece):
    pair = tokens(word_piece, ("the dog", "the dog sat"))
    assert pair.text == "the dog the dog sat"
    assert pair.words().pieces == ("[CLS]", "the", "dog", "[SEP]", "the", "dog", "sat", "[SEP]")
    assert [pair.offsets[n] for n in (1, 4, 6)] == [(0, 3), (8, 11), (16, 19)]
    assert len(pair) == len(word_piece("the dog", "the dog sat")["input_ids"])


@pytest.mark.parametrize("kind", ["pt", "np", None])
def test_an_encoding_of_one_text(word_piece, kind):
    encoding = word_piece("the dog sat", return_tensors=kind)
    assert tokens(word_piece, encoding).pieces == tokens(word_piece, encoding["input_ids"]).pieces
    assert len(tokens(word_piece, encoding)) == 5


def test_ids_of_any_container(word_piece):
    ids = word_piece("the dog sat")["input_ids"]
    expected = tokens(word_piece, ids)
    for given in (tuple(ids), np.array(ids), torch.tensor(ids), torch.tensor([ids])):
        assert tokens(word_piece, given) == expected


def test_a_slow_tokenizer_of_bytes():
    of_text = tokens(transformers.ByT5Tokenizer(), "hé \N{ZEBRA FACE}")
    assert of_text.text == "hé \N{ZEBRA FACE}"
    assert of_text.pieces == ("h", "é", "é", " ", *["\N{ZEBRA FACE}"] * 4, "</s>")
    assert of_text.offsets == ((0, 1), (1, 2), (1, 2), (2, 3), *[(3, 4)] * 4, (4, 4))


def test_pieces_of_a_slow_tokenizer_are_searched_in_the_text():
    class Slow:
        """Lower-cases, as many do, and gives no offsets."""

        is_fast = False
        all_special_ids = (0,)
        words = ("<s>", "the", "dog", "bites")

        def __call__(self, text):
            return {"input_ids": [0, *(self.words.index(word) for word in text.lower().split())]}

        def decode(self, ids, **options):
            return " ".join(self.words[i] for i in ids)

    of_text = tokens(Slow(), "The  dog Bites")
    assert of_text.offsets == ((0, 0), (0, 3), (5, 8), (9, 14))
    assert of_text.special == (True, False, False, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("a", "b", "c"), "3 texts; expected one, or a pair"),
        ([[1, 2], [3]], "ids of 2 texts"),
        ([1.5], "expected a text, a pair of texts, token ids"),
    ],
)
def test_other_things_are_refused(word_piece, given, message):
    with pytest.raises(InputError, match=message):
        tokens(word_piece, given)


def test_tokens_point_into_the_text(minilm):
    encoded = tokens(minilm[1], TEXT)
    assert encoded.pieces[0] == "[CLS]"
    assert encoded.special[0]
    assert encoded.special[-1]
    for piece, (start, end) in list(zip(encoded.pieces, encoded.offsets, strict=True))[1:-1]:
        assert piece == TEXT[start:end]


def test_tokens_of_ids(minilm):
    ids = minilm[1](TEXT)["input_ids"]
    encoded = tokens(minilm[1], ids)
    assert len(encoded) == len(ids)
    assert encoded.pieces[1] == "the"
    assert encoded.special[0]
    assert not encoded.special[1]
