"""Attention over the frames of speech: spoken digits, and which moments the answer came from.

The voices of the synthesiser eSpeak NG (on Debian: `apt-get install espeak-ng`) say the digits of
English at several speeds and pitches. A recording becomes frames of log-mel energies, one for every
10 ms. A recurrent network reads them in both directions, and attention pooling makes one vector of
them; Chorowski et al. (2015) attend to frames in the same way. The test voices were never heard in
training.

    python examples/speech.py --out runs/speech
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from regard.layers import AttentionPooling

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TRAINING = ["m1", "m2", "m3", "m4", "m5", "f1", "f2", "f3", "klatt", "klatt2", "croak"]
TESTING = ["m7", "f4", "f5", "klatt4"]
RATE = 22050  # samples a second
WINDOW = 512  # samples of a frame
HOP = 220  # samples between frames: 10 ms
BANDS = 32  # of the mel scale

Frames = NDArray[np.float32]


def say(word: str, voice: str, speed: int, pitch: int) -> Frames:
    """Speak a word; returns the samples, from -1 to 1, without the silence at the end."""
    call = ["espeak-ng", "-v", f"en+{voice}", "-s", str(speed), "-p", str(pitch), "--stdout", word]
    spoken = subprocess.run(call, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
    samples = samples[: np.flatnonzero(np.abs(samples) > 200)[-1] + WINDOW]
    return (samples / 32768).astype(np.float32)


def mel_filters() -> NDArray[np.float64]:
    """Triangular filters, evenly spaced in mel: `(BANDS, WINDOW // 2 + 1)`."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    up = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(up, down), 0, None)


def log_mel(samples: Frames) -> Frames:
    """Log-mel energies, `(frames, BANDS)`, with a mean of 0: how loud a voice is does not count."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    energies = np.log(np.abs(np.fft.rfft(windows)) ** 2 @ mel_filters().T + 1e-3)
    return ((energies - energies.mean()) / energies.std()).astype(np.float32)


class Listener(nn.Module):
    """Frames to the logits of ten digits, and the weight of each frame."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.network = nn.GRU(2 * BANDS, width, batch_first=True, bidirectional=True)
        self.pooling = AttentionPooling(2 * width)
        self.classes = nn.Linear(2 * width, len(WORDS))

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, frames, BANDS)` to `(batch, 10)` and `(batch, frames // 2)`."""
        batch, length = frames.shape[:2]
        pairs = frames[:, : length // 2 * 2].reshape(
            batch, length // 2, 2 * BANDS
        )  # half as many steps
        packed = pack_padded_sequence(pairs, lengths // 2, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.network(packed)[0], batch_first=True, total_length=length // 2
        )
        # Recordings are padded with zeros to one length; the mask leaves those out of the softmax.
        mask = torch.arange(length // 2) < (lengths // 2)[:, None]
        pooled, weights = self.pooling(states, mask)
        return self.classes(pooled), weights.dense()[:, 0, 0]


def record(voices: list[str]) -> tuple[list[Frames], Tensor]:
    """All digits by these voices at several speeds and pitches; frames and digits."""
    spoken = [
        (log_mel(say(word, voice, speed, pitch)), digit)
        for voice in voices
        for speed, pitch in ((140, 40), (170, 60), (200, 50))
        for digit, word in enumerate(WORDS)
    ]
    return [frames for frames, _ in spoken], torch.tensor([digit for _, digit in spoken])


def padded(recordings: list[Frames]) -> tuple[Tensor, Tensor]:
    """One array of all recordings, and their lengths."""
    lengths = torch.tensor([len(frames) for frames in recordings])
    return pad_sequence(
        [torch.from_numpy(frames) for frames in recordings], batch_first=True
    ), lengths


def train(model: Listener, recordings: list[Frames], digits: Tensor, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(recordings)).split(32):
            logits, _ = model(*padded([recordings[i] for i in batch]))
            loss = F.cross_entropy(logits, digits[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}")


def draw(recordings: list[Frames], weights: Tensor, titles: list[str], path: Path) -> None:
    """Draw each recording's spectrogram, and under it the weight of every moment."""
    figure = Figure(figsize=(7.5, 3), layout="constrained")
    axes = figure.subplots(2, len(titles), height_ratios=(3, 1), squeeze=False)
    for column, (frames, row, title) in enumerate(zip(recordings, weights, titles, strict=True)):
        seconds = len(frames) * HOP / RATE
        above, below = axes[:, column]
        above.imshow(
            frames.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, BANDS)
        )
        above.set_title(title, fontsize=8)
        moments = np.arange(len(frames) // 2) * 2 * HOP / RATE
        below.fill_between(moments, row[: len(moments)], color="#d9540c", step="post")
        below.set_xlim(0, seconds)
        below.set_xlabel("seconds", fontsize=7)
        above.set_xticks([])
        above.set_yticks([])
        below.tick_params(labelsize=6)
    axes[0, 0].set_ylabel("mel bands", fontsize=7)
    axes[1, 0].set_ylabel("weight", fontsize=7)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the result and the picture"
    )
    parser.add_argument(
        "--epochs", type=int, default=12, help="passes over the recordings (default 12)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the parameters (default 0)")
    arguments = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        sys.exit(
            "espeak-ng, which speaks the digits, is not installed; on Debian: apt-get install espeak-ng"
        )
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    heard, digits = record(TRAINING)
    new, wanted = record(TESTING)
    model = Listener()
    train(model, heard, digits, arguments.epochs)
    with torch.no_grad():
        logits, weights = model(*padded(new))
    found = logits.argmax(-1)
    means, new_means = (np.stack([f.mean(0) for f in frames]) for frames in (heard, new))
    simple = LogisticRegression(max_iter=2000).fit(means, digits)
    result = {
        "test accuracy, new voices": float((found == wanted).float().mean()),
        "logistic regression on each recording's mean frame": float(
            simple.score(new_means, wanted)
        ),
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    shown = [3, 6, 7, 8]
    titles = [f"{WORDS[wanted[i]]!r}, heard {WORDS[found[i]]!r}" for i in shown]
    draw([new[i] for i in shown], weights[shown], titles, arguments.out / "frames.png")
    print("\n".join(f"{name}: {value:.3f}" for name, value in result.items()))
    print(f"see {arguments.out}/frames.png")
    if result["test accuracy, new voices"] <= max(simple.score(new_means, wanted), 0.5):
        sys.exit("attention did no better than the mean of the frames")


if __name__ == "__main__":
    main()
