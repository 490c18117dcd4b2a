"""Strings to ids and back, with offsets into the original text."""

from regard.text.normalize import Normalizer
from regard.text.sentences import split_sentences
from regard.text.tokenizer import BOS, EOS, PAD, SPECIALS, UNK, Encoding, Tokenizer
from regard.text.words import space_separated_spans, word_ids, word_spans

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "SPECIALS",
    "UNK",
    "Encoding",
    "Normalizer",
    "Tokenizer",
    "space_separated_spans",
    "split_sentences",
    "word_ids",
    "word_spans",
]
