"""Attention over the patches of a picture: handwritten digits, and the map of what was looked at.

The 1,797 digits of scikit-learn are 8 x 8 pixels. Each is cut into 25 overlapping patches of 4 x 4,
which are tokens like the words of a text (Dosovitskiy et al. 2021). Two Transformer blocks let them
exchange what they saw, and attention pooling makes one vector of them. Its weights are the
picture's map.

    python examples/vision.py --out runs/vision
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from regard.layers import AttentionPooling, MultiHeadAttention

SIZE = 8  # pixels of a side
PATCH = 4
ACROSS = SIZE - PATCH + 1  # patches of a side: one begins at every pixel
MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
WIDTH = 48


class Block(nn.Module):
    """A Transformer block: attention, then a small network for each position, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(WIDTH, heads=4)
        self.network = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, patches, WIDTH)`, before and after."""
        x = x + self.attention(self.norms[0](x))[0]
        return x + self.network(self.norms[1](x))


class Reader(nn.Module):
    """Pictures to the logits of ten digits, and the weights of the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, WIDTH, PATCH)  # one product per patch
        self.position = nn.Parameter(torch.randn(ACROSS * ACROSS, WIDTH) * 0.1)
        self.blocks = nn.Sequential(Block(), Block())
        self.pooling = AttentionPooling(WIDTH)
        self.classes = nn.Linear(WIDTH, 10)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, 8, 8)` to `(batch, 10)` and `(batch, patches)`."""
        patches = self.patch(pictures[:, None]).flatten(2).mT  # (batch, patches, width)
        pooled, weights = self.pooling(self.blocks(patches + self.position))
        return self.classes(pooled), weights.dense()[:, 0, 0]


def shifted(pictures: Tensor) -> Tensor:
    """The pictures moved by at most a pixel: a digit stays the digit it is."""
    down, right = MOVES[int(torch.randint(len(MOVES), ()))]
    return torch.roll(F.pad(pictures, (1, 1, 1, 1)), (down, right), (1, 2))[:, 1:-1, 1:-1]


def train(model: Reader, pictures: Tensor, digits: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    updates = epochs * -(-len(pictures) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=updates)
    for epoch in range(epochs):
        for batch in torch.randperm(len(pictures)).split(64):
            loss = F.cross_entropy(model(shifted(pictures[batch]))[0], digits[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}")


def light(weights: Tensor) -> Tensor:
    """Weights of patches, `(patches,)`, shared out evenly to the pixels of each patch: `(8, 8)`."""
    patches = weights.reshape(1, 1, ACROSS, ACROSS)
    return F.conv_transpose2d(patches, torch.full((1, 1, PATCH, PATCH), PATCH**-2.0))[0, 0]


def draw(pictures: Tensor, weights: Tensor, found: Tensor, path: Path) -> None:
    """Draw digits, and below each the same, lit by the weights of its patches."""
    figure = Figure(figsize=(len(pictures) * 0.9, 2.1), layout="constrained")
    axes = figure.subplots(2, len(pictures))
    for column, (picture, row) in enumerate(zip(pictures, weights, strict=True)):
        axes[0, column].imshow(picture, cmap="gray_r")
        axes[1, column].imshow(picture, cmap="gray_r", alpha=0.35)
        axes[1, column].imshow(light(row), cmap="Oranges", alpha=0.65, vmin=0)
        axes[0, column].set_title(f"read: {int(found[column])}", fontsize=8)
    for panel in axes.flat:
        panel.set_axis_off()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the result and the picture"
    )
    parser.add_argument(
        "--epochs", type=int, default=40, help="passes over the digits (default 40)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of split and parameters (default 0)")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    data = load_digits()
    order = np.random.default_rng(arguments.seed).permutation(len(data.images))
    pictures = torch.tensor(data.images[order] / 16, dtype=torch.float32)
    digits = torch.tensor(data.target[order], dtype=torch.long)
    cut = len(pictures) - 450  # the last 450 are for testing

    model = Reader()
    train(model, pictures[:cut], digits[:cut], arguments.epochs)
    with torch.no_grad():
        logits, weights = model(pictures[cut:])
    found = logits.argmax(-1)
    simple = LogisticRegression(max_iter=2000).fit(pictures[:cut].flatten(1), digits[:cut])
    result = {
        "test accuracy": float((found == digits[cut:]).float().mean()),
        "logistic regression on the pixels": float(
            simple.score(pictures[cut:].flatten(1), digits[cut:])
        ),
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    one_of_each = torch.tensor([int((digits[cut:] == digit).nonzero()[0]) for digit in range(10)])
    draw(
        pictures[cut:][one_of_each],
        weights[one_of_each],
        found[one_of_each],
        arguments.out / "map.png",
    )
    print("\n".join(f"{name}: {value:.3f}" for name, value in result.items()))
    print(f"see {arguments.out}/map.png")
    if result["test accuracy"] <= result["logistic regression on the pixels"]:
        sys.exit("attention did no better than a linear model of the pixels")


if __name__ == "__main__":
    main()
