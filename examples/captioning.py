"""Captions for pictures, a word at a time: show, attend and tell (Xu et al. 2015).

A picture shows one to three handwritten digits of scikit-learn, anywhere in a strip; its caption is
their names, from left to right. A convolutional network makes a grid of vectors of the picture. A
recurrent decoder attends to the grid before each word, so that the map of a word shows where the
network looked when it wrote it.

    python examples/captioning.py --out runs/captions
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from regard.layers import BahdanauAttention

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
END, START = 10, 11  # ids behind those of the ten words
HEIGHT, LENGTH, DIGIT, MOST = 10, 36, 8, 3  # pixels; digits of a picture
ROWS, COLUMNS = HEIGHT // 2, LENGTH // 2  # of the grid
WIDTH = 64


def draw_strips(
    digits: NDArray[np.float64], labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures `(count, HEIGHT, LENGTH)`, captions `(count, MOST + 1)`, and where each digit begins."""
    pictures = np.zeros((count, HEIGHT, LENGTH), dtype=np.float32)
    captions = np.full((count, MOST + 1), END)
    begins = np.zeros((count, MOST), dtype=np.int64)
    for row in range(count):
        shown = rng.integers(1, MOST + 1)
        gaps = np.sort(rng.integers(0, LENGTH - shown * DIGIT + 1, shown))
        for place, gap in enumerate(gaps):
            which, top, left = rng.integers(len(digits)), rng.integers(3), gap + place * DIGIT
            pictures[row, top : top + DIGIT, left : left + DIGIT] = digits[which]
            captions[row, place], begins[row, place] = labels[which], left
    return torch.from_numpy(pictures), torch.from_numpy(captions), torch.from_numpy(begins)


class Captioner(nn.Module):
    """A convolutional encoder, and a recurrent decoder that attends to its grid."""

    def __init__(self) -> None:
        super().__init__()
        self.show = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(),
        )  # fmt: skip
        self.place = nn.Parameter(torch.randn(ROWS * COLUMNS, WIDTH) * 0.1)
        self.embed = nn.Embedding(len(WORDS) + 2, WIDTH)
        self.attend = BahdanauAttention(query_width=WIDTH, key_width=WIDTH)
        self.cell = nn.LSTMCell(2 * WIDTH, WIDTH)
        self.tell = nn.Linear(2 * WIDTH, len(WORDS) + 1)

    def forward(self, pictures: Tensor, captions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits `(batch, words, 11)` and weights `(batch, words, cells of the grid)`.

        Step t reads the word before: that of the caption in training, its own without one. It never
        reads word t, which it is to write.
        """
        grid = self.show(pictures[:, None]).flatten(2).mT + self.place  # (batch, cells, WIDTH)
        hidden, cell = torch.tanh(grid.mean(1)), torch.zeros(len(grid), WIDTH)
        word = torch.full((len(grid),), START)
        steps = []
        for step in range(MOST + 1):
            context, weights = self.attend(hidden[:, None], grid)
            hidden, cell = self.cell(
                torch.cat([self.embed(word), context[:, 0]], -1), (hidden, cell)
            )
            logits = self.tell(torch.cat([hidden, context[:, 0]], -1))
            steps.append((logits, weights.dense()[:, 0]))
            word = logits.argmax(-1) if captions is None else captions[:, step]
        return torch.stack([logits for logits, _ in steps], 1), torch.stack(
            [w for _, w in steps], 1
        )


def train(model: Captioner, pictures: Tensor, captions: Tensor, epochs: int) -> None:
    updates = epochs * -(-len(pictures) // 64)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=updates)
    # Nothing follows the end of a caption: only its words and its first END count.
    counts = (captions == END).cumsum(1) <= 1
    for epoch in range(epochs):
        for batch in torch.randperm(len(pictures)).split(64):
            logits, _ = model(pictures[batch], captions[batch])
            loss = F.cross_entropy(logits[counts[batch]], captions[batch][counts[batch]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}")


def ended(captions: Tensor) -> Tensor:
    """Captions with END at every position behind their first one."""
    return captions.masked_fill((captions == END).cumsum(1) > 0, END)


def attention_on_digit(weights: Tensor, captions: Tensor, begins: Tensor) -> float:
    """Mean share of a word's attention on the columns of the digit that it names."""
    columns = weights.unflatten(-1, (ROWS, COLUMNS)).sum(2)[:, :MOST]  # (batch, words, COLUMNS)
    pixels = torch.arange(COLUMNS) * 2 + 1
    inside = (pixels >= begins[..., None]) & (pixels < begins[..., None] + DIGIT)
    return (columns * inside).sum(-1)[captions[:, :MOST] != END].mean().item()


def draw(pictures: Tensor, captions: Tensor, weights: Tensor, path: Path) -> None:
    """Draw pictures, and below each the picture once for every word, lit where it looked."""
    figure = Figure(figsize=(7.5, 0.8 * (MOST + 1)), layout="constrained")
    axes = figure.subplots(MOST + 1, len(pictures))
    for panel in axes.flat:
        panel.set_axis_off()
    for column, picture in enumerate(pictures):
        axes[0, column].imshow(picture, cmap="gray_r")
        for row, word in enumerate(captions[column][:MOST], start=1):
            if word == END:
                continue
            lit = weights[column, row - 1].reshape(ROWS, COLUMNS)
            axes[row, column].imshow(picture, cmap="gray_r", alpha=0.4)
            extent = (-0.5, LENGTH - 0.5, HEIGHT - 0.5, -0.5)
            axes[row, column].imshow(lit, cmap="Oranges", alpha=0.6, extent=extent, vmin=0)
            axes[row, column].set_title(WORDS[word], fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for result and picture")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the pictures")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and parameters")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    data = load_digits()
    order = rng.permutation(len(data.images))
    digits, labels = data.images[order] / 16, data.target[order]
    cut = len(digits) - 450  # test pictures are made of digits that no training picture shows
    pictures, captions, _ = draw_strips(digits[:cut], labels[:cut], 3000, rng)
    new, wanted, begins = draw_strips(digits[cut:], labels[cut:], 500, rng)

    model = Captioner()
    train(model, pictures, captions, arguments.epochs)
    model.eval()
    with torch.no_grad():
        logits, weights = model(new)
    written = ended(logits.argmax(-1))
    simple = [
        LogisticRegression(tol=1e-2)
        .fit(pictures.flatten(1), captions[:, place])
        .predict(new.flatten(1))
        for place in range(MOST)
    ]
    right = (torch.from_numpy(np.stack(simple, 1)) == wanted[:, :MOST]).all(1)
    result = {
        "captions without an error": (written == wanted).all(1).float().mean().item(),
        "logistic regression on the pixels": right.float().mean().item(),
        "attention on the digit being named": attention_on_digit(weights, wanted, begins),
        "share of the strip that a digit fills": DIGIT / LENGTH,
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    three = [int(i) for i in (wanted[:, MOST - 1] != END).nonzero()[:3, 0]]
    draw(new[three], written[three], weights[three], arguments.out / "captions.png")
    print("\n".join(f"{name}: {value:.3f}" for name, value in result.items()))
    print(f"see {arguments.out}/captions.png")
    if result["captions without an error"] <= result["logistic regression on the pixels"]:
        sys.exit("attention did no better than a linear model of the pixels")


if __name__ == "__main__":
    main()
