"""A terminal to draw on: shaded cells, bars one cell wide, and text cut at graphemes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from regard.viewing.colors import Sign, Theme, contrast, palette
from regard.viewing.printable import is_right_to_left, printable

__all__ = ["Canvas", "fit", "isolated", "row_label"]

_LEFT_TO_RIGHT = "\u200e"  # mark of zero width that ends the effect of right-to-left text
_SHADES = " ░▒▓█"
_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII = dict(zip("░▒▓█▁▂▃▄▅▆▇·×→…⋮−", ".:*#1234567-x>~:-", strict=True)) | {_LEFT_TO_RIGHT: ""}
_COLORS = {"256": ColorSystem.EIGHT_BIT, "truecolor": ColorSystem.TRUECOLOR}


@dataclass(frozen=True)
class Canvas:
    """A terminal with its abilities: colours, character set, theme."""

    console: Console
    color: bool
    ascii: bool
    theme: Theme

    @classmethod
    def of(cls, console: Console, theme: Theme) -> Self:
        """The canvas of a console."""
        color = console.color_system in _COLORS and not console.no_color
        return cls(console, color, console.options.ascii_only, theme)

    def cell(self, text: str, level: float, sign: Sign = "for") -> Text:
        """Text on a shaded background; without colour, a block character shows the shade."""
        if self.color:
            background = palette(self.theme, sign)[round(255 * float(level))]
            style = Style(
                color=self.supported(contrast(background)),
                bgcolor=self.supported(f"#{bytes(background).hex()}"),
            )
            return Text(text, style=style)
        block = _SHADES[round(4 * float(level))]
        return Text(text.replace(" ", block) if text.isspace() else block + text[1:])

    def supported(self, color: str) -> Color:
        """The nearest colour that this terminal supports.

        rich keeps the codes of a style as the first console of the process wrote them, so a style
        must not be left for each console to reduce.
        """
        return Color.parse(color).downgrade(_COLORS[str(self.console.color_system)])

    def spark(self, level: float) -> str:
        """A bar one cell wide, for a level from 0 to 1."""
        return _SPARKS[min(7, int(level * 8))]

    def line(self, *parts: Text | str) -> None:
        """Print a line of a drawing, which must not be wrapped."""
        text = self.encodable(Text.assemble(*parts))
        self.console.print(text, no_wrap=True, overflow="ignore", crop=False)

    def prose(self, text: str, style: str) -> None:
        """Print a sentence, wrapped at the width of the terminal."""
        self.console.print(self.encodable(Text(printable(text), style=style)))

    def encodable(self, text: Text) -> Text:
        """Text in characters that this terminal can encode, of unchanged width."""
        if not self.ascii:
            return text
        return Text(
            "".join(c if c.isascii() else _ASCII.get(c, "?" * cell_len(c)) for c in text.plain)
        )


def row_label(piece: str, width: int) -> Text:
    """A token as a label of exactly this width, at the right."""
    return Text(fit(printable(piece), width, right=True))


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Text cut or padded to exactly `width` cells, cut between graphemes."""
    size = cell_len(text)
    if size > width:
        return isolated(set_cell_size(text, width))
    pad = " " * (width - size)
    return pad + isolated(text) if right else isolated(text) + pad


def isolated(text: str) -> str:
    """Text that cannot turn its line round, even where it is written from right to left."""
    return _LEFT_TO_RIGHT + text + _LEFT_TO_RIGHT if is_right_to_left(text) else text
