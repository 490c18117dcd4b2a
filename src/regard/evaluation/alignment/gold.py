"""Gold links: files of word links that people drew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal, NamedTuple

from regard.choices import FirstIndex
from regard.data.lines import read_lines
from regard.data.streams import opened
from regard.errors import DataError, InputError
from regard.evaluation.alignment.links import Link, SentencePair

__all__ = ["Gold", "GoldFile", "GoldLink", "parse_gold", "read_gold", "read_gold_file"]


class Gold(NamedTuple):
    """Gold links of one sentence pair.

    Attributes:
        sure: links that annotators marked as certain.
        possible: links marked as possible; they include the sure ones.
    """

    sure: frozenset[Link]
    possible: frozenset[Link]


class GoldLink(NamedTuple):
    """A link as a file has it.

    Attributes:
        line: of the file, from 1.
        sentence: number of its sentence pair, from 0.
        source: number of the source word, counted as in the file.
        target: number of the target word, counted as in the file.
        sure: whether it is certain rather than possible.
        text: the link as written.
    """

    line: int
    sentence: int
    source: int
    target: int
    sure: bool
    text: str


@dataclass(frozen=True)
class GoldFile:
    """Links of a file, not yet compared with the sentences that they are of.

    Attributes:
        path: of the file.
        form: `"Pharaoh"`, a line for each pair; `"NAACL"`, a line for each link.
        sentences: number of lines (Pharaoh), or the largest number of a sentence pair (NAACL).
        links: all links, in the order of the file.
        first: number of the first word of a sentence.
        why: how `first` is known, for a person.
        nulls: number of links to no word, which are left out.
    """

    path: str
    form: Literal["Pharaoh", "NAACL"]
    sentences: int
    links: tuple[GoldLink, ...]
    first: FirstIndex
    why: str
    nulls: int = 0

    def __str__(self) -> str:
        nulls = f"; {self.nulls:,} links to no word left out" if self.nulls else ""
        return (
            f"{len(self.links):,} gold links of {self.path} ({self.form} format), words counted from "
            f"{self.first} ({self.why}){nulls}"
        )

    def gold(self, sentences: int | None = None) -> list[Gold]:
        """Links of each sentence pair, counted from 0.

        Args:
            sentences: number of pairs; `None` for as many as the file speaks of.
        """
        sure: list[set[Link]] = [set() for _ in range(sentences or self.sentences)]
        possible: list[set[Link]] = [set() for _ in sure]
        for link in self.links:
            word_link = link.source - self.first, link.target - self.first
            possible[link.sentence].add(word_link)
            if link.sure:
                sure[link.sentence].add(word_link)
        return [Gold(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]

    def gold_of(
        self,
        pairs: Sequence[SentencePair],
        numbers: Sequence[int] | None = None,
        *,
        count: int | None = None,
    ) -> list[Gold]:
        """Links of these sentence pairs, each of which must lie inside its pair.

        Args:
            pairs: (source words, target words) of each pair.
            numbers: number of each pair in the file, from 0; `None` if the file is of exactly these.
            count: number of pairs that the file is of, where some of them are left out of `pairs`.

        Raises:
            DataError: links of more or fewer pairs, or a link outside its pair: says which line, which
                link, and how many words there are.
        """
        self._check_count(len(pairs) if count is None else count)
        numbers = range(len(pairs)) if numbers is None else numbers
        pair_of = dict(zip(numbers, pairs, strict=True))
        for link in self.links:
            if link.sentence in pair_of:
                self._check_bounds(link, pair_of[link.sentence])
        gold = self.gold(max(self.sentences, 1 + max(numbers, default=-1)))
        return [gold[number] for number in numbers]

    def _check_count(self, pairs: int) -> None:
        if self.form == "Pharaoh" and self.sentences != pairs:
            raise DataError(
                f"{self.sentences:,} lines of gold links for {pairs:,} sentence pairs",
                path=self.path,
                remedy="give a line for each pair, empty where there is no link",
            )
        if self.sentences > pairs:
            line = next(link.line for link in self.links if link.sentence + 1 > pairs)
            raise DataError(
                f"gold links of sentence pair {self.sentences:,}, but there are {pairs:,} pairs",
                path=self.path,
                line=line,
                remedy="give the texts that the links were drawn for",
            )

    def _check_bounds(self, link: GoldLink, pair: SentencePair) -> None:
        """Refuse a link to a word that its sentence pair does not have."""
        sizes = len(pair[0]), len(pair[1])
        places = link.source - self.first, link.target - self.first
        if all(0 <= place < size for place, size in zip(places, sizes, strict=True)):
            return
        raise DataError(
            f"link {link.text!r} is outside its sentence pair, which has {sizes[0]} and {sizes[1]} words "
            f"(source and target, separated by spaces; counted from {self.first}, {self.why})",
            path=self.path,
            line=link.line,
            remedy="give the links and the texts in one tokenisation and order, source first; "
            f"--gold-from {1 - self.first} (gold_from={1 - self.first}) counts from {1 - self.first}",
        )


def parse_gold(line: str, *, first: FirstIndex = 1) -> Gold:
    """Parse a line of Pharaoh links: `i-j` sure, `ipj` or `i?j` possible.

    >>> from regard.evaluation.alignment.gold import parse_gold
    >>> gold = parse_gold("1-1 3p2")
    >>> gold.sure, sorted(gold.possible)
    (frozenset({(0, 0)}), [(0, 0), (2, 1)])

    Args:
        line: links separated by spaces.
        first: number of the first word of a sentence, 0 or 1.

    Raises:
        InputError: an item is not a link.
    """
    links = [_pharaoh_link(item, 1, 0) for item in line.split()]
    for link in links:
        if min(link.source, link.target) < first:
            raise InputError(f"{link.text!r} is not a link of words counted from {first}")
    return GoldFile("", "Pharaoh", 1, tuple(links), first, "given").gold()[0]


def read_gold(path: str | PathLike[str], *, first: FirstIndex | None = None) -> list[Gold]:
    """Read a file of gold links; see `read_gold_file`.

    Returns:
        The links of each sentence pair, counted from 0.
    """
    return read_gold_file(path, first=first).gold()


def read_gold_file(path: str | PathLike[str], *, first: FirstIndex | None = None) -> GoldFile:
    """Read a file of gold links in one of two formats, which its first line tells apart.

    Pharaoh: a line for each sentence pair, links as `i-j` (sure) and `ipj` or `i?j` (possible).
    NAACL (Mihalcea and Pedersen 2003): a line for each link, `sentence source target [S|P]
    [confidence]`; a pair without a line has no links, a link to word 0 is to no word.

    The file may be gzipped, begin with a byte order mark, and be in UTF-16.

    Args:
        path: of the file.
        first: number of the first word of a sentence; `None` takes 0 if some link shows it (a 0 in
            Pharaoh, a `0 0` in NAACL), else 1.

    Raises:
        DataError: a line holds something else; the message names file and line.
    """
    lines = list(read_lines(path, encoding=_encoding_of(path)))
    form: Literal["Pharaoh", "NAACL"] = (
        "NAACL" if _is_naacl(next((line for _, line in lines if line.strip()), "")) else "Pharaoh"
    )
    links: list[GoldLink] = []
    for number, line in lines:
        try:
            if form == "Pharaoh":
                links += [_pharaoh_link(item, number, number - 1) for item in line.split()]
            elif line.strip():
                links.append(_naacl_link(line, number))
        except InputError as error:
            raise DataError(str(error), path=path, line=number) from None
    first, why = _first_index(form, links, first)
    kept = links
    if form == "NAACL" and first == 1:
        kept = [link for link in links if link.source and link.target]
    for link in kept:
        if min(link.source, link.target) < first:
            raise DataError(
                f"{link.text!r} is not a link of words counted from 1",
                path=path,
                line=link.line,
                remedy="--gold-from 0 (gold_from=0) counts from 0",
            )
    sentences = len(lines) if form == "Pharaoh" else max((k.sentence + 1 for k in links), default=0)
    return GoldFile(str(path), form, sentences, tuple(kept), first, why, len(links) - len(kept))


def _first_index(
    form: str, links: Iterable[GoldLink], given: FirstIndex | None
) -> tuple[FirstIndex, str]:
    """Number of the first word, and how it is known."""
    if given is not None:
        return given, "as given"
    if form == "Pharaoh":
        zero = next((link for link in links if 0 in (link.source, link.target)), None)
    else:
        zero = next((link for link in links if link.source == link.target == 0), None)
    if zero is not None:
        return 0, f"there is {zero.text!r} in line {zero.line}"
    return 1, "no link has a 0" if form == "Pharaoh" else "as the format does"


def _is_naacl(line: str) -> bool:
    return re.fullmatch(r"\s*\d+\s+\d+\s+\d+(\s.*)?", line) is not None


def _pharaoh_link(item: str, line: int, sentence: int) -> GoldLink:
    match = re.fullmatch(r"(\d+)([-pP?])(\d+)", item, re.ASCII)
    if match is None:
        raise InputError(
            f"{item!r} is not a link; expected 'i-j' (sure), 'ipj' or 'i?j' (possible), or a line "
            "'sentence source target S' for each link"
        )
    return GoldLink(line, sentence, int(match[1]), int(match[3]), match[2] == "-", item)


def _naacl_link(text: str, line: int) -> GoldLink:
    number = r"[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?"
    pattern = rf"(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+{number})?"
    match = re.fullmatch(pattern, text.strip(), re.ASCII | re.IGNORECASE)
    if match is None:
        raise InputError(f"{text!r} is not a link; expected 'sentence source target S' (or P)")
    if int(match[1]) < 1:
        raise InputError(f"{text!r} is of sentence pair 0; sentence pairs are counted from 1")
    sure = (match[4] or "S").upper() == "S"
    return GoldLink(line, int(match[1]) - 1, int(match[2]), int(match[3]), sure, text.strip())


def _encoding_of(path: str | PathLike[str]) -> str:
    """Encoding of a file of links, whose characters are all ASCII: UTF-16 or one that extends ASCII."""
    with opened(path) as file:
        head = file.head[:2]
    if head in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in head:
        return "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
    return "utf-8"
