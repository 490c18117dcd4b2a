"""The pictures of docs/kernel.md: how a tile is worked, and growth from the kept figures.

python -m benchmarks.kernel_pictures
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from benchmarks.results import RESULTS

plt.switch_backend("Agg")
plt.rcParams["svg.hashsalt"] = "regard"  # the same bytes every time

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
DARK, PALE, WARM, COOL = "#222222", "#e8e8e8", "#d9734e", "#4e7fd9"
NAMES = {
    "regard": "regard, with statistics",
    "sdpa": "SDPA, blind",
    "eager": "eager, with statistics",
    "additive": "additive, regard",
    "broadcast": "additive, broadcast",
}


def draw_tile(path: Path) -> None:
    """The matrix that never exists, the tile that does, and what is taken from it."""
    figure, axes = plt.subplots(figsize=(9, 4.6))
    axes.set(xlim=(0, 18), ylim=(0, 9.4), aspect="equal")
    axes.axis("off")
    axes.add_patch(Rectangle((1, 1), 6, 6, fill=False, ls=":", ec=DARK))
    axes.text(4, 0.45, "queries x keys: never stored", ha="center", fontsize=9)
    for step in range(4):
        shade = WARM if step == 2 else PALE
        axes.add_patch(Rectangle((1 + 1.5 * step, 4.6), 1.5, 1.2, fc=shade, ec=DARK, lw=0.7))
    axes.text(0.8, 5.2, "512\nqueries", ha="right", va="center", fontsize=8)
    axes.text(4.75, 6.0, "512 keys", ha="center", fontsize=8)
    axes.annotate("", (7.4, 5.2), (5.6, 5.2), arrowprops={"arrowstyle": "->", "color": DARK})
    axes.text(1, 7.4, "a worker takes a tile of queries;\nthe keys go by in tiles", fontsize=9)
    boxes = [
        (7.2, "scores in bits: one matrix product,\nthen -inf where a row's range or bias forbids", WARM),
        (5.5, "largest of each chunk of 64 to 128 keys\n(pooled max, top-k's bound, running max m)", PALE),
        (3.8, "64 scores a compare: those above the eighth\nso far enter the row's sorted list (top-8)", PALE),
        (2.1, "2^(s - m), in place; the sum of each chunk\n(pooled mean, l) and of p log p (entropy)", PALE),
        (0.4, "weights x values: one matrix product,\nadded to what the row's output is so far", COOL),
    ]  # fmt: skip
    for y, text, shade in boxes:
        axes.add_patch(Rectangle((8.6, y), 8.8, 1.4, fc=shade, ec=DARK, lw=0.7, alpha=0.85))
        axes.text(13, y + 0.7, text, ha="center", va="center", fontsize=8.5)
    for y in (7.2, 5.5, 3.8, 2.1):
        axes.annotate("", (13, y - 0.3), (13, y), arrowprops={"arrowstyle": "->", "color": DARK})
    axes.text(13, 8.8, "while the tile lies in the cache", ha="center", fontsize=9)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def draw_growth(points: list[dict[str, object]], path: Path) -> None:
    """Time and memory against length, both on logarithmic scales."""
    figure, panes = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, label in NAMES.items():
        line = [point for point in points if point["case"] == name]
        lengths = [point["length"] for point in line]
        style = {"marker": "o", "ms": 3, "label": label, "ls": "--" if "additive" in label else "-"}
        panes[0].plot(lengths, [point["seconds"] for point in line], **style)
        panes[1].plot(
            lengths, [max(float(str(point["megabytes"])), 0.5) for point in line], **style
        )
    for pane, label in zip(panes, ("seconds", "peak memory beyond the inputs, MiB"), strict=True):
        pane.set(xscale="log", yscale="log", xlabel="positions (one head)", ylabel=label)
        pane.set_xscale("log", base=2)
        pane.grid(alpha=0.3)
    panes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draws both; growth from the full run if there is one, else from the quick one."""
    IMAGES.mkdir(exist_ok=True)
    draw_tile(IMAGES / "kernel-tile.svg")
    kept = next(p for n in ("kernel", "kernel_quick") if (p := RESULTS / f"{n}.json").exists())
    draw_growth(
        json.loads(kept.read_text(encoding="utf-8"))["growth"], IMAGES / "kernel-growth.svg"
    )


if __name__ == "__main__":
    main()
