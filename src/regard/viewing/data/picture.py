"""Attention over the patches of an image and over the frames of a sound, as data that every view draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regard.errors import InputError

__all__ = ["PictureAttention", "SoundAttention", "WordAttention", "WordTime"]

Floats = NDArray[np.float32]

_SHADES = " ░▒▓█"


class _Weighted:
    """Weights `(layers, heads, ...)` of which a part is drawn; layers and heads count from 1."""

    weights: Floats

    def part(self, layer: int | None, head: int | None) -> Floats:
        """Weights of a layer and a head, or means over them.

        Raises:
            InputError: no such layer or head.
        """
        layers, heads = self.weights.shape[:2]
        for what, number, count in (("layer", layer, layers), ("head", head, heads)):
            if number is not None and not (
                1 <= number <= count or (number == -1 and what == "layer")
            ):
                raise InputError(f"no {what} {number}; expected 1 to {count}")
        chosen = self.weights if layer is None else self.weights[[layer - 1 if layer > 0 else -1]]
        by_head = chosen.mean(0)
        part: Floats = by_head.mean(0) if head is None else by_head[head - 1]
        return part


@dataclass(frozen=True)
class WordAttention(_Weighted):
    """What a word of a caption looked at as it was written.

    Attributes:
        word: as it was written.
        weights: `(layers, heads, rows, columns)`, as of `PictureAttention`.
    """

    word: str
    weights: Floats


@dataclass(frozen=True)
class PictureAttention(_Weighted):
    """Attention over the patches of an image, as the model reads it.

    Attributes:
        image: `(height, width, 3)`, 0 to 255: what the model's own processor made of the file, which may be
            resized and cropped, so that patches lie on it exactly.
        weights: `(layers, heads, rows, columns)`: what one query gave to each patch; the top row first.
            Of a caption the mean of its words.
        query: whose attention it is: `"class token"`, or `"mean of all patches"` where there is none, or
            `"step that wrote each word"` of a caption.
        title: what the image is.
        notes: sentences below the picture.
        words: of the caption that the model wrote, each with what it looked at; empty for a model that
            writes no text.
    """

    image: NDArray[np.uint8]
    weights: Floats
    query: str
    title: str = ""
    notes: tuple[str, ...] = ()
    words: tuple[WordAttention, ...] = ()

    def __post_init__(self) -> None:
        rows, columns = self.weights.shape[2:]
        height, width = self.image.shape[:2]
        if height % rows or width % columns:
            raise InputError(
                f"an image of {height} x {width} pixels has no {rows} x {columns} equal patches"
            )

    def grid(
        self, layer: int | None = None, head: int | None = None, *, word: int | None = None
    ) -> Floats:
        """Weights of the patches, `(rows, columns)`.

        Args:
            layer: from 1, -1 the last; `None` the mean of all.
            head: from 1; `None` the mean of all.
            word: of the caption, from 1; `None` the mean of all.

        Raises:
            InputError: no such layer, head or word.
        """
        if word is None:
            return self.part(layer, head)
        if not 1 <= word <= len(self.words):
            some = (
                f"expected 1 to {len(self.words)}" if self.words else "the model wrote no caption"
            )
            raise InputError(f"no word {word}; {some}")
        return self.words[word - 1].part(layer, head)

    def pixels(
        self, layer: int | None = None, head: int | None = None, *, word: int | None = None
    ) -> Floats:
        """Weights of the patches at every pixel of the image, `(height, width)`; arguments as of `grid`."""
        grid = self.grid(layer, head, word=word)
        height, width = self.image.shape[:2]
        rows = np.repeat(grid, height // grid.shape[0], axis=0)
        return np.repeat(rows, width // grid.shape[1], axis=1)

    def spotlight(
        self, layer: int | None = None, head: int | None = None, *, word: int | None = None
    ) -> NDArray[np.uint8]:
        """The image, each patch as bright as its share of the largest weight; arguments as of `grid`."""
        weights = self.pixels(layer, head, word=word)
        share = weights / max(float(weights.max()), float(np.finfo(np.float32).tiny))
        lit = self.image * (0.12 + 0.88 * share[..., None])
        return np.rint(lit).astype(np.uint8)

    def lines(self, layer: int | None = None, head: int | None = None) -> list[str]:
        """The grid in characters for a terminal: darker is a larger share; arguments as of `grid`.

        Of a caption the patch that each word looked at most.
        """
        if self.words:
            return [self._strongest(n + 1, layer, head) for n in range(len(self.words))]
        grid = self.grid(layer, head)
        share = grid / max(float(grid.max()), float(np.finfo(np.float32).tiny))
        rows = [
            "".join(2 * _SHADES[int(x * (len(_SHADES) - 1) + 0.5)] for x in row) for row in share
        ]
        return [f"attention of the {self.query} to each patch", *rows]

    def _strongest(self, word: int, layer: int | None, head: int | None) -> str:
        grid = self.grid(layer, head, word=word)
        row, column = np.unravel_index(grid.argmax(), grid.shape)
        place = f"row {row + 1} of {grid.shape[0]}, column {column + 1} of {grid.shape[1]}"
        return f"{self.words[word - 1].word}: most attention at {place} ({grid[row, column]:.2f})"


@dataclass(frozen=True)
class WordTime:
    """When a word is spoken.

    Attributes:
        word: as it was written.
        start: in seconds.
        end: in seconds.
    """

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class SoundAttention(_Weighted):
    """Attention over the frames of a sound.

    Attributes:
        spectrogram: `(bands, columns)`, the lowest band first, over all of `seconds`.
        seconds: length of the sound.
        weights: `(layers, heads, queries, frames)`.
        queries: names of the queries: the tokens that were written, or one, `"mean of all frames"`.
        frame_seconds: length of a frame; the first begins at 0.
        starts: second at which each token that was written begins; empty for a model that writes no text.
        words: when each word is spoken; empty for a model that writes no text.
        title: what the sound is.
        notes: sentences below the picture.
    """

    spectrogram: Floats
    seconds: float
    weights: Floats
    queries: tuple[str, ...]
    frame_seconds: float
    starts: tuple[float, ...] = ()
    words: tuple[WordTime, ...] = ()
    title: str = ""
    notes: tuple[str, ...] = ()

    def rows(self, layer: int | None = None, head: int | None = None) -> Floats:
        """Weights `(queries, frames)`; arguments as of `PictureAttention.grid`."""
        return self.part(layer, head)

    def lines(self, layer: int | None = None, head: int | None = None) -> list[str]:
        """Times of the words for a terminal, or the strongest second of each layer; arguments as of `rows`."""
        if self.words:
            return [f"{word.start:7.2f} {word.end:7.2f}  {word.word}" for word in self.words]
        numbers = range(1, self.weights.shape[0] + 1) if layer is None else [layer]
        strongest = [
            self.rows(number, head).mean(0).argmax() * self.frame_seconds for number in numbers
        ]
        return [
            f"layer {number}: most attention at {second:.2f} s"
            for number, second in zip(numbers, strongest, strict=True)
        ]
