"""Where a view is drawn: a figure of its own, or the place of the user's axes. All lengths are inches."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from regard.errors import SettingsError
from regard.viewing.figure import style

__all__ = ["Sheet"]

_TALLEST = 8.0


class Sheet:
    """A place to draw on, measured in inches from its lower left corner.

    Args:
        ax: axes whose place is drawn on, to stand among others in a figure; `None` makes a figure.
        width: of the whole picture; `None` is as wide as it needs to be, a page at most.
        title: heading; `None` is that of the record (none with `ax`), `""` draws no heading at all.
    """

    def __init__(
        self, ax: Axes | None = None, width: float | None = None, title: str | None = None
    ) -> None:
        if width is not None and (ax is not None or not width > 0):
            raise SettingsError(
                f"width is {width}; expected inches above 0, and none together with ax, which has a width"
            )
        self._ax = ax
        self._fills = width is not None or ax is not None
        self._title = "" if title is None and ax is not None else title
        self.width: float = style.PAGE_WIDTH if width is None else width
        self.height: float = _TALLEST
        self._size = (0.0, 0.0)
        self.figure: Any = None
        if ax is not None:
            self.figure = ax.figure
            box = ax.get_window_extent()
            self.width, self.height = (float(n) / self.dpi for n in (box.width, box.height))
            ax.set_axis_off()

    @property
    def dpi(self) -> float:
        """Dots of an inch."""
        return float(self.figure.dpi)

    def fit(
        self, natural: tuple[float, float], *, left: float, right: float, above: float
    ) -> tuple[float, float]:
        """Width and height of a drawing with labels around it.

        Args:
            natural: size that it has while there is room.
            left: taken by labels on the left.
            right: taken on the right.
            above: taken by labels above.
        """
        room = max(0.5, self.width - left - right)
        if self._ax is not None:
            return room, max(0.3, self.height - above - 0.05)
        wide = room if self._fills else min(natural[0], room)
        square = natural[0] == natural[1]
        scaled = self._fills or (square and wide < natural[0])
        tall = natural[1] * wide / natural[0] if scaled else natural[1]
        return wide, min(tall, _TALLEST)

    def open(self, width: float, height: float) -> None:
        """Begin a drawing of this size, with room for a heading above it."""
        if self._ax is None:
            self._size = (width, height + (0.0 if self._title == "" else 0.55))
            self.figure = style.new_figure(*self._size)
        else:
            self._size = (width, height)

    def resize(self, height: float) -> None:
        """Change the height after `open`."""
        self._size = (self._size[0], height + (0.0 if self._title == "" else 0.55))
        if self._ax is None:
            self.figure.set_size_inches(*self._size)
        else:
            self._size = (self._size[0], height)

    def lowest_line(self, height: float) -> float:
        """How far down a drawing that would be this high can go: in axes, to their end."""
        return height if self._ax is None else min(height, self.height - 0.15)

    def add_axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes; `bottom` is measured from that of the drawing."""
        if self._ax is None:
            w, h = self._size
            axes: Axes = self.figure.add_axes((left / w, bottom / h, width / w, height / h))
            return axes
        x, y = self._place(left, bottom)
        return self._ax.inset_axes((x, y, width / self.width, height / self.height))

    def text(self, x: float, y: float, text: str, **look: Any) -> Text:
        """Write a text, in fonts that have its characters."""
        if self._ax is None:
            w, h = self._size
            written: Text = self.figure.text(x / w, y / h, text, **look)
        else:
            written = self._ax.text(*self._place(x, y), text, transform=self._ax.transAxes, **look)
        style.set_family([written])
        return written

    def move(self, text: Text, x: float, y: float) -> None:
        """Move a text."""
        w, h = self._size
        text.set_position((x / w, y / h) if self._ax is None else self._place(x, y))

    def heading(self, title: str, facts: str, *, top: float) -> None:
        """Write the title of the record, and a line of facts, above the drawing, whose height is `top`."""
        title = title if self._title is None else self._title
        if self._title == "":
            return
        y = top
        for text, look in reversed(style.heading_lines(title, facts, self.width)):
            self.text(0.05, y, text, **look)
            y += look["fontsize"] * 1.6 / 72

    def footnote(self, text: str) -> None:
        """Write sentences below the drawing, in the width of the picture or a readable minimum.

        They lie outside the figure's own box; saving with `bbox_inches="tight"` includes them.
        """
        width = max(self._size[0], 0.6 * style.PAGE_WIDTH)
        self.text(0.05, -0.04, style.footnote_lines(text, width), **style.FOOTNOTE)

    def result(self) -> Figure:
        """The figure that was drawn on."""
        figure: Figure = self.figure
        return figure

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Position in the user's axes: drawings begin at their top."""
        drop = self.height - self._size[1]
        return x / self.width, (y + drop) / self.height
