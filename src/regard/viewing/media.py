"""Records of attention over images and sounds: data that can be saved as pictures and pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from regard.errors import InputError, nearest
from regard.files import atomic_write
from regard.viewing.data.picture import PictureAttention, SoundAttention

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ImageRecord", "SoundRecord", "check_picture_path"]

_PICTURES = (".png", ".svg", ".pdf")


class ImageRecord(PictureAttention):
    """Attention over an image, to be saved."""

    def save(self, path: str | Path, *, layer: int | None = None, head: int | None = None) -> Path:
        """Write a picture (.png, .svg, .pdf) of a layer or of all, or a page (.html) of everything.

        Args:
            path: of the file.
            layer: from 1, -1 the last; `None` all.
            head: from 1; `None` the mean, and of one layer all.

        Raises:
            InputError: another ending; no such layer or head.
        """
        from regard.viewing.figure.overlays import picture
        from regard.viewing.page.pictures import picture_html

        return _save(
            Path(path), lambda: picture_html(self), lambda: picture(self, layer=layer, head=head)
        )


class SoundRecord(SoundAttention):
    """Attention over a sound, to be saved."""

    def save(self, path: str | Path, *, layer: int | None = None, head: int | None = None) -> Path:
        """Write a picture (.png, .svg, .pdf) or a page (.html) of every layer, as `ImageRecord.save` does."""
        from regard.viewing.figure.overlays import sound
        from regard.viewing.page.pictures import sound_html

        return _save(
            Path(path), lambda: sound_html(self), lambda: sound(self, layer=layer, head=head)
        )


def check_picture_path(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        InputError: another ending.
    """
    endings = (*_PICTURES, ".html")
    if path.suffix.lower() not in endings:
        raise InputError(f"cannot save to {path.name!r}; {nearest(path.suffix, endings)}")


def _save(path: Path, html: Callable[[], str], figure: Callable[[], Figure]) -> Path:
    check_picture_path(path)
    if path.suffix.lower() in _PICTURES:
        from regard.viewing.figure.drawing import write

        return write(figure(), path)
    with atomic_write(path) as unfinished:
        unfinished.write_text(html(), encoding="utf-8")
    return path
