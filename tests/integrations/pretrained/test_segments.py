"""Marks and token types of pairs, beside the tokenizers of transformers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from tokenizers import processors

from regard.errors import InputError
from regard.integrations.pretrained.segments import PairLayout, known_text
from regard.integrations.pretrained.tokenizer import PretrainedTokenizer
from regard.integrations.pretrained.vocabulary import Vocabulary
from regard.text import BOS, Encoding, SentencePair

A, B = "The bank raised its rates.", "A man rides"


def tokenizer_of(makers: ModuleType, name: str) -> Any:
    """A tokenizer by the name of its maker; `xlnet`: `a <sep> b <sep> <cls>`, with three types."""
    if name != "xlnet":
        return getattr(makers, name)()
    tokenizer = makers.wordpiece()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 [SEP]:0 [CLS]:2",
        pair="$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def encode(tokenizer: Any, text: str) -> tuple[Encoding, Vocabulary]:
    """An encoding of ours, and the vocabulary behind it."""
    layout = PairLayout.of(tokenizer)
    vocabulary = Vocabulary(
        len(tokenizer), tokenizer.pad_token_id, tokenizer.unk_token_id, layout.mark
    )
    return PretrainedTokenizer(tokenizer, vocabulary).encode(text), vocabulary


@pytest.mark.parametrize("name", ["wordpiece", "marked_byte_pairs", "unigram", "xlnet"])
def test_a_pair_is_encoded_as_transformers_does(pretrained_folders: ModuleType, name: str) -> None:
    tokenizer = tokenizer_of(pretrained_folders, name)
    encoding, vocabulary = encode(tokenizer, SentencePair(A, B))
    expected = tokenizer(A, B, return_special_tokens_mask=True)
    assert vocabulary.theirs(torch.tensor(encoding.ids)).tolist() == expected["input_ids"]
    assert encoding.ids.count(BOS) == 1
    marks = [n for n, mark in enumerate(expected["special_tokens_mask"]) if mark]
    assert sorted(encoding.special) == marks
    texts = expected.sequence_ids(0)
    for position, ((start, end), own) in enumerate(zip(encoding.offsets, texts, strict=True)):
        if own is not None:
            assert encoding.segments[position] == own
            where = A if own == 0 else B
            assert encoding.text[start:end] in where
            assert (start >= len(A)) == bool(own)


@pytest.mark.parametrize("name", ["wordpiece", "xlnet"])
@pytest.mark.parametrize("pair", [("The bank", "a man rides"), ("the", "the"), ("rates",)])
def test_types_follow_from_the_ids(
    pretrained_folders: ModuleType, name: str, pair: tuple[str, ...]
) -> None:
    tokenizer = tokenizer_of(pretrained_folders, name)
    text = SentencePair(*pair) if len(pair) == 2 else pair[0]
    encoding, _ = encode(tokenizer, text)
    ids = torch.tensor([[*encoding.ids, 0, 0]])
    types = PairLayout.of(tokenizer).types(ids, torch.tensor([len(encoding)]))
    expected = [*tokenizer(*pair)["token_type_ids"], 0, 0]
    assert types is None if not any(expected) else types is not None
    if types is not None:
        assert types.tolist() == [expected]


def test_an_erased_token_changes_no_other_type(pretrained_folders: ModuleType) -> None:
    tokenizer = pretrained_folders.wordpiece()
    encoding, _ = encode(tokenizer, SentencePair(A, B))
    kept = [n for n in range(len(encoding)) if n not in (2, 10)]  # one of each text
    types = PairLayout.of(tokenizer).types(
        torch.tensor([[encoding.ids[n] for n in kept]]), torch.tensor([len(kept)])
    )
    assert types is not None
    assert types[0].tolist() == [tokenizer(A, B)["token_type_ids"][n] for n in kept]


def test_a_slow_tokenizer_has_the_same_pairs(tmp_path: Any) -> None:
    (tmp_path / "vocab.txt").write_text(
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nbank\nman\nrides\na\n"
    )
    fast = transformers.BertTokenizer.from_pretrained(tmp_path)
    slow = transformers.BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    pair = SentencePair("The bank", "a man rides a bank")
    ours = [encode(tokenizer, pair)[0] for tokenizer in (fast, slow)]
    assert ours[0].ids == ours[1].ids
    assert ours[0].segments == ours[1].segments
    assert ours[0].surfaces == ours[1].surfaces
    spans = [[e.offsets[n] for n in range(len(e)) if n not in e.special] for e in ours]
    assert spans[0] == spans[1]


def test_a_tokenizer_without_a_mark_between_reads_no_pairs(pretrained_folders: ModuleType) -> None:
    assert PairLayout.of(pretrained_folders.byte_pairs()).mark is None
    with pytest.raises(InputError, match="no mark between"):
        encode(pretrained_folders.byte_pairs(), SentencePair(A, B))


def test_a_vocabulary_without_the_letter_a_and_without_an_unknown_token() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(
        models.WordLevel({"[CLS]": 0, "[SEP]": 1, "red": 2, "blue": 3}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]"
    )
    assert known_text(tokenizer) == "red"
    layout = PairLayout.of(tokenizer)
    assert (layout.front, layout.mark) == (1, 1)
