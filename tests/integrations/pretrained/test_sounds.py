"""Attention over sounds: a tiny Whisper beside transformers' own times, a wav2vec2, WAV files."""

from __future__ import annotations

import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from regard.errors import DataError, ModelFolderError
from regard.integrations.pretrained.sounds import look_at_sound, read_wave
from regard.integrations.pretrained.word_times import token_starts

RATE = 16_000


def write_wave(
    path: Path, samples: np.ndarray, *, rate: int = RATE, width: int = 2, channels: int = 1
) -> Path:
    """A WAV file of samples from -1 to 1, the same in every channel."""
    wide = np.repeat(samples[:, None], channels, 1)
    if width == 1:
        content = np.rint(wide * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = np.rint(wide * (2 ** (8 * width - 1) - 1)).astype("<i4")
        content = whole.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(content)
    return path


def chirp(seconds: float, rate: int = RATE) -> np.ndarray:
    at = np.arange(int(seconds * rate)) / rate
    return np.asarray(0.5 * np.sin(2 * np.pi * (200 + 300 * at) * at))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width(tmp_path: Path, width: int) -> None:
    path = write_wave(tmp_path / "a.wav", chirp(0.1), width=width, channels=2)
    np.testing.assert_allclose(
        read_wave(path, RATE), chirp(0.1), atol=1.1 * 2.0 ** (1 - 8 * width) + 1e-6
    )


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a.wav", chirp(0.5, 44_100), rate=44_100)
    found = read_wave(path, RATE)
    assert len(found) == 8000
    np.testing.assert_allclose(found[200:-200], chirp(0.5)[200:-200], atol=0.01)


def test_what_is_no_sound(tmp_path: Path, pretrained: Any) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match="cannot be read as a WAV"):
        read_wave(tmp_path / "a.wav", RATE)
    with pytest.raises(ModelFolderError, match="processor"):
        look_at_sound(pretrained("bert"), tmp_path / "a.wav")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory, pretrained_folders: ModuleType) -> Path:
    """A tiny Whisper that hears two seconds; random, and written down with a tokenizer of bytes."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(4)
    tokenizer = pretrained_folders.byte_pairs()
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer) + 2,
        num_mel_bins=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=16,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=100,
        max_target_positions=24,
        init_std=1.0,
        decoder_start_token_id=len(tokenizer) + 1,
        eos_token_id=len(tokenizer),
        pad_token_id=len(tokenizer),
        bos_token_id=len(tokenizer),
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    model.generation_config._from_model_config = False  # else it is made anew from the model's
    model.generation_config.alignment_heads = [[0, 1], [1, 0], [1, 1]]
    model.generation_config.is_multilingual = False
    model.generation_config.max_length = 12
    model.generation_config.no_timestamps_token_id = len(tokenizer) - 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2)
    extractor.save_pretrained(folder)
    return folder


def test_times_are_those_of_transformers(whisper: Path, tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a.wav", chirp(1.3))
    seen = look_at_sound(whisper, path)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(
        whisper, attn_implementation="eager"
    ).eval()
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(whisper)
    found = extractor(
        read_wave(path, RATE), sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
    )
    theirs = model.generate(
        found["input_features"],
        attention_mask=found["attention_mask"],
        return_token_timestamps=True,
        return_dict_in_generate=True,
        force_unique_generate_call=True,
    )
    times, ids = theirs["token_timestamps"][0].numpy(), theirs["sequences"][0]
    assert seen.weights.shape == (2, 2, len(seen.queries), 65)
    assert seen.seconds == pytest.approx(1.3)
    assert seen.spectrogram.shape == (8, 130)
    assert (
        len(seen.starts) == len(seen.queries) == len(ids) - 2
    )  # the start, and that no times are written
    # They never read the last token, which has no row then: without it the times are the same.
    chosen = np.stack([seen.weights[layer, head] for layer, head in [(0, 1), (1, 0), (1, 1)]])
    np.testing.assert_allclose(token_starts(chosen[:, :-1]), times[2:-1], atol=1e-6)
    assert len({*times.tolist()}) > 3


def test_a_picture_and_a_page_of_a_sound(whisper: Path, tmp_path: Path) -> None:
    seen = look_at_sound(whisper, write_wave(tmp_path / "a.wav", chirp(1.3)))
    assert seen.save(tmp_path / "a.png").stat().st_size > 2000
    page = seen.save(tmp_path / "a.html").read_text()
    assert page.count("data:image/png") == 1 + 2
    assert "<table>" in page
    with pytest.raises(DataError, match=r"2\.5 seconds; the model hears 2 at once"):
        look_at_sound(whisper, write_wave(tmp_path / "b.wav", chirp(2.5)))


def test_frames_of_a_wav2vec2(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(20, 16),
        conv_kernel=(20, 16),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
    )
    model = transformers.Wav2Vec2Model._from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(tmp_path)
    extractor = transformers.Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(tmp_path)
    path = write_wave(tmp_path / "a.wav", chirp(1.0))
    seen = look_at_sound(tmp_path, path)
    values = extractor(read_wave(path, RATE), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = model(**values, output_attentions=True).attentions
    stacked = torch.stack([layer[0].mean(1, keepdim=True) for layer in expected]).numpy()
    np.testing.assert_allclose(seen.weights, stacked, atol=1e-5)
    assert seen.weights.shape[-1] == 50
    assert seen.frame_seconds == 0.02
    assert seen.save(tmp_path / "a.png").stat().st_size > 2000
