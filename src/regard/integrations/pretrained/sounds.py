"""Attention of speech models of transformers over the frames of a sound."""

from __future__ import annotations

import wave
from math import gcd, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.errors import DataError, InputError, ModelFolderError
from regard.integrations.captured import MAPS
from regard.integrations.pretrained.folder import load_model
from regard.integrations.pretrained.patches import processor_of
from regard.integrations.pretrained.word_times import FRAME_SECONDS, token_starts, word_times
from regard.integrations.tokenizing import tokens
from regard.integrations.watching import watch
from regard.layers.eval_mode import eval_mode
from regard.viewing.data.tokens import Tokens
from regard.viewing.media import SoundRecord

__all__ = ["look_at_sound", "read_wave"]

Floats = NDArray[np.float32]


def look_at_sound(folder: Path, path: Path) -> SoundRecord:
    """Attention of a speech model over a sound.

    A Whisper-like model writes what it hears: each token's cross-attention, and when each word is spoken. A
    wav2vec2-like model hears alone: what each frame received, the mean of all frames.

    Args:
        folder: of the model, with its feature extractor (and tokenizer).
        path: a WAV file.

    Raises:
        ModelFolderError: a model that reads no sound.
        DataError: no WAV file, or a longer one than the model hears at once.
    """
    model = load_model(folder)
    extractor = processor_of(folder, "AutoFeatureExtractor")
    rate = int(extractor.sampling_rate)
    samples = read_wave(path, rate)
    if model.main_input_name == "input_features" and hasattr(model.config, "max_source_positions"):
        return _written(folder, model, extractor, samples, path)
    if model.main_input_name != "input_values":
        raise ModelFolderError(
            f"{folder} holds a {type(model).__name__}, which reads {model.main_input_name}, no sound"
        )
    return _heard(model, extractor, samples, path)


def _written(folder: Path, model: Any, extractor: Any, samples: Floats, path: Path) -> SoundRecord:
    """Cross-attention of what a Whisper-like model writes."""
    from transformers import AutoTokenizer

    longest = extractor.n_samples / extractor.sampling_rate
    if len(samples) > extractor.n_samples:
        raise DataError(
            f"{len(samples) / extractor.sampling_rate:.1f} seconds; the model hears {longest:g} at once",
            path=path,
            remedy="cut it into parts",
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = extractor(
        samples,
        sampling_rate=extractor.sampling_rate,
        return_tensors="pt",
        return_attention_mask=True,
    )
    features, columns = found["input_features"], int(found["attention_mask"].sum())
    with torch.no_grad():
        ids = model.generate(features, force_unique_generate_call=True)[0]
    prompt = _prompt_length(model, ids)
    written = [i for i in ids[prompt:].tolist() if i != model.generation_config.eos_token_id]
    if not written:
        raise InputError(f"{path}: the model wrote nothing, so there is nothing to look at")
    weights = _cross_attention(model, features, [*ids[:prompt].tolist(), *written])
    frames = max(1, columns // 2)
    weights = weights[:, :, prompt:, :frames]
    pieces = tokens(tokenizer, written)
    starts = token_starts(_aligning(model, weights), median=_median_of(model))
    words = word_times(pieces, starts.tolist(), frames * FRAME_SECONDS)
    return SoundRecord(
        features[0, :, :columns].numpy(),
        columns * extractor.hop_length / extractor.sampling_rate,
        weights.astype(np.float32),
        _names(pieces),
        FRAME_SECONDS,
        tuple(starts.tolist()),
        tuple(words),
        title=f"{path.name}: {pieces.text.strip()}",
        notes=("Each row is the step that reads a token; times of words by dynamic time warping.",),
    )


def _prompt_length(model: Any, ids: Tensor) -> int:
    """Number of tokens in front of the text: start, language, task, and that no times are written."""
    names = model.generation_config
    marks = {model.config.decoder_start_token_id, getattr(names, "no_timestamps_token_id", None)}
    for ids_of in ("lang_to_id", "task_to_id"):
        marks |= set((getattr(names, ids_of, None) or {}).values())
    return next((n for n, index in enumerate(ids.tolist()) if index not in marks), len(ids))


def _cross_attention(model: Any, features: Tensor, ids: list[int]) -> NDArray[np.float64]:
    """Weights `(layers, heads, tokens, frames)` of one pass over all that was written."""
    with torch.no_grad(), eval_mode(model), watch(model, keep=MAPS) as seen:
        model(input_features=features, decoder_input_ids=torch.tensor([ids]), use_cache=False)
    return np.stack(
        [
            torch.as_tensor(layer.map[:, :, :])[0].double().numpy(force=True)
            for layer in seen["cross"]
        ]
    )


def _aligning(model: Any, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the heads that follow the speech: as the model names them, else the later layers'."""
    chosen = getattr(model.generation_config, "alignment_heads", None)
    if chosen:
        return np.stack([weights[layer, head] for layer, head in chosen])
    return weights[len(weights) // 2 :].reshape(-1, *weights.shape[2:])


def _median_of(model: Any) -> int:
    return int(getattr(model.config, "median_filter_width", 7))


def _names(pieces: Tokens) -> tuple[str, ...]:
    return tuple(piece.strip() or piece for piece in pieces.pieces)


def _heard(model: Any, extractor: Any, samples: Floats, path: Path) -> SoundRecord:
    """Attention that each frame of a wav2vec2-like model received, the mean of all frames."""
    rate = int(extractor.sampling_rate)
    values = extractor(samples, sampling_rate=rate, return_tensors="pt")["input_values"]
    with torch.no_grad(), eval_mode(model), watch(model, keep=MAPS) as seen:
        model(input_values=values)
    weights = [
        torch.as_tensor(layer.map[:, :, :])[0].double().mean(1, keepdim=True).numpy(force=True)
        for layer in seen[seen.sites[0]]
    ]
    stride = prod(getattr(model.config, "conv_stride", (320,)))
    return SoundRecord(
        _spectrogram(samples),
        len(samples) / rate,
        np.stack(weights).astype(np.float32),
        ("mean of all frames",),
        stride / rate,
        title=path.name,
        notes=("What each frame received, the mean of all frames.",),
    )


def _spectrogram(samples: Floats, window: int = 400, hop: int = 160) -> Floats:
    """Logarithm of the power of each band, `(bands, columns)`."""
    padded = np.pad(samples, (0, max(0, window - len(samples))))
    parts = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(parts, axis=-1)) ** 2
    found: Floats = np.log10(np.maximum(power, 1e-8)).T.astype(np.float32)
    return found


def read_wave(path: Path, rate: int) -> Floats:
    """Samples of a WAV file from -1 to 1, the mean of its channels, at a rate.

    Args:
        path: of the file, PCM of 8, 16, 24 or 32 bits.
        rate: samples of a second that are wanted; others are resampled.

    Raises:
        DataError: no WAV file of integers.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, own = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(
            f"cannot be read as a WAV file ({error})",
            path=path,
            remedy="write it as 16-bit PCM: ffmpeg -i FILE -ar 16000 -ac 1 FILE.wav",
        ) from error
    if not content:
        raise DataError("a WAV file without samples", path=path)
    if width == 1:
        values = np.frombuffer(content, np.uint8).astype(np.float64) / 128 - 1
    else:  # the highest bytes of 32
        raw = np.frombuffer(content, np.uint8).reshape(-1, width)
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - width :] = raw
        values = wide.view("<i4")[:, 0] / 2.0**31
    mono = values.reshape(-1, channels).mean(1)
    if own != rate:
        from scipy.signal import resample_poly

        common = gcd(own, rate)
        mono = resample_poly(mono, rate // common, own // common)
    found: Floats = mono.astype(np.float32)
    return found
