"""A sample of architectures of transformers, watched both ways against truths taken without regard.

The whole table is `docs/coverage.md`, measured by `benchmarks/coverage.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the architectures are its own")

from benchmarks.coverage import measure  # noqa: E402

SAMPLE = (
    *("albert", "bart", "beit", "bert", "big_bird", "bloom", "clip", "codegen", "ctrl", "deberta"),
    *("deberta-v2", "distilbert", "electra", "esm", "falcon", "funnel", "gemma2", "gpt2", "gptj"),
    *("gpt_neo", "gpt_neox", "gpt_oss", "led", "llama", "longformer", "marian", "mistral", "mpnet"),
    *("mpt", "opt", "pegasus", "perceiver", "prophetnet", "qwen3", "roformer", "t5", "timesformer"),
    *("vit", "whisper", "xlnet"),
)
"""Of every kind: encoders, decoders, both; images, sound; positions, windows, sinks, caps, sparse patterns."""

NEWER = tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 20)


@pytest.mark.skipif(not NEWER, reason="other versions of transformers have other configurations")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLE)
def test_no_architecture_is_shown_wrongly(name: str) -> None:
    torch.manual_seed(0)
    measured: dict[str, Any] = measure(name)
    assert "unbuilt" not in measured, measured
    assert measured["chosen"]["outcome"] == "exact", measured["chosen"]
    assert measured["chosen"]["layers"] >= 2
    for way in ("interface", "dispatcher"):
        assert measured[way]["outcome"] in ("exact", "refused"), measured[way]
