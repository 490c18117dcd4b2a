"""From the general score to a translator by character that knows three pairs by heart.

Five parts build on each other: the general score, the attentional vector, self-attention, several
heads, and Transformer blocks. Two translators use them, a recurrent one with attention (Luong et al.
2015) and a Transformer (Vaswani et al. 2017). Both must reproduce all three pairs by themselves: no
letter of the answer is given to them.

    python examples/character_translator.py --out runs/characters
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regard
from regard.layers import LuongAttention, MultiHeadAttention, SinusoidalPositions
from regard.viewing import AttentionRecord

PAIRS = [("hello", "hola"), ("bye", "adiós"), ("thanks", "gracias")]
PAD, START, END = 0, 1, 2
LETTERS = sorted(set("".join(source + target for source, target in PAIRS)))
WIDTH = 32
LONGEST = 10


def encode(text: str) -> list[int]:
    """Ids of the characters of a text; those below 3 are for padding, start and end."""
    return [LETTERS.index(letter) + 3 for letter in text]


def batch(rows: list[list[int]]) -> Tensor:
    """Rows of ids, padded to the longest."""
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


class Recurrent(nn.Module):
    """GRU encoder and decoder; the general score, and the attentional vector that writes each letter."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS) + 3, WIDTH)
        self.encoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.attention = LuongAttention(
            WIDTH, WIDTH, score="general"
        )  # s . W h, then tanh(W [c; s])
        self.letters = nn.Linear(WIDTH, len(LETTERS) + 3)

    def forward(self, source: Tensor, begun: Tensor) -> tuple[Tensor, regard.AttentionMap]:
        """Logits of the letter after each that is begun, `(batch, target, letters)`, and the map."""
        memory, _ = self.encoder(self.embed(source))
        lengths = (source != PAD).sum(1)
        last = memory[
            torch.arange(len(source)), lengths - 1
        ]  # the state behind the last letter, no padding
        states, _ = self.decoder(self.embed(begun), last[None].contiguous())
        vectors, weights = self.attention(states, memory, mask=regard.padding(source != PAD))
        return self.letters(vectors), weights


class Block(nn.Module):
    """A Transformer block; with `cross` it attends to the memory, too."""

    def __init__(self, *, cross: bool = False) -> None:
        super().__init__()
        self.own = MultiHeadAttention(WIDTH, heads=2)
        self.cross = MultiHeadAttention(WIDTH, heads=2) if cross else None
        self.network = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(3)])

    def forward(
        self,
        x: Tensor,
        mask: regard.masks.Mask,
        memory: Tensor | None = None,
        memory_mask: regard.masks.Mask | None = None,
    ) -> tuple[Tensor, regard.AttentionMap]:
        """`(batch, length, WIDTH)`, before and after, and the last map."""
        seen, weights = self.own(self.norms[0](x), mask=mask)
        x = x + seen
        if self.cross is not None and memory is not None:
            seen, weights = self.cross(self.norms[1](x), memory, mask=memory_mask)
            x = x + seen
        return x + self.network(self.norms[2](x)), weights


class Transformer(nn.Module):
    """One block that reads, one that writes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS) + 3, WIDTH)
        self.positions = SinusoidalPositions(WIDTH)
        self.encoder, self.decoder = Block(), Block(cross=True)
        self.letters = nn.Linear(WIDTH, len(LETTERS) + 3)

    def place(self, ids: Tensor) -> Tensor:
        """Vectors of the letters, each with its position added: attention alone knows no order."""
        vectors: Tensor = self.embed(ids)
        return vectors + self.positions(ids.shape[1])

    def forward(self, source: Tensor, begun: Tensor) -> tuple[Tensor, regard.AttentionMap]:
        """As `Recurrent`; the map is that of the cross-attention, `(batch, heads, target, source)`."""
        words = regard.padding(source != PAD)
        memory, _ = self.encoder(self.place(source), words)
        x = self.place(begun)
        # Causal: a letter sees those before it and itself, never the one that it is to predict.
        states, weights = self.decoder(x, regard.causal(), memory, words)
        return self.letters(states), weights


def train(model: nn.Module, updates: int) -> float:
    """Teach the pairs; returns the last loss."""
    source = batch([encode(text) for text, _ in PAIRS])
    # The decoder reads START and the letters; it is to write the letters and END: one position apart.
    begun = batch([[START, *encode(text)] for _, text in PAIRS])
    wanted = batch([[*encode(text), END] for _, text in PAIRS])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(updates):
        logits, _ = model(source, begun)
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def translate(model: nn.Module, text: str) -> tuple[str, Tensor]:
    """The translation, letter by letter from START alone, and the weights `(letters + 1, source)`."""
    written = [START]
    while len(written) <= LONGEST:
        logits, weights = model(batch([encode(text)]), torch.tensor([written]))
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == END:
            break
    letters = "".join(LETTERS[i - 3] for i in written[1:] if i > END)
    dense = weights.dense()[0]
    return letters, dense.mean(0) if dense.ndim == 3 else dense


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers and maps")
    parser.add_argument("--updates", type=int, default=150, help="of the parameters (default 150)")
    parser.add_argument("--seed", type=int, default=0, help="of the parameters (default 0)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
    (arguments.out / "pairs.tsv").write_text(lines, encoding="utf-8")
    answers: dict[str, dict[str, str]] = {}
    for kind in (Recurrent, Transformer):
        torch.manual_seed(arguments.seed)
        model, name = kind(), kind.__name__.lower()
        loss = train(model, arguments.updates)
        answers[name] = {}
        for text, _ in PAIRS:
            answers[name][text], weights = translate(model, text)
        print(f"{name}: loss {loss:.4f}, {answers[name]}")
        answer = [*answers[name][text], "(end)"]
        record = AttentionRecord.of(weights.numpy(), answer, list(text), title=name)
        record.save(arguments.out / f"{name}.png")
    (arguments.out / "result.json").write_text(
        json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
    )
    print(f"see {arguments.out}/recurrent.png and {arguments.out}/transformer.png")
    wrong = {name for name, found in answers.items() if found != dict(PAIRS)}
    if wrong:
        sys.exit(f"not all three pairs were reproduced: {', '.join(sorted(wrong))}")


if __name__ == "__main__":
    main()
