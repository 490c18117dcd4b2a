"""Strings to ids and back, with offsets into the original text."""

from regard.text.normalize import Normalizer
from regard.text.pairs import PART_SEPARATOR, SentencePair, TextOrPair, to_text
from regard.text.sentences import split_sentences
from regard.text.tokenizer import BOS, EOS, PAD, SPECIALS, UNK, Encoding, Tokenizer
from regard.text.words import space_separated_spans, word_ids, word_spans

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "PART_SEPARATOR",
    "SPECIALS",
    "UNK",
    "Encoding",
    "Normalizer",
    "SentencePair",
    "TextOrPair",
    "Tokenizer",
    "space_separated_spans",
    "split_sentences",
    "to_text",
    "word_ids",
    "word_spans",
]
