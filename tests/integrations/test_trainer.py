"""The callback for `transformers.Trainer`, in real runs of tiny models, read back from real event files."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from regard.errors import InputError
from regard.evaluation.heads.statistics import STATISTICS, TokenAxis, head_sums
from regard.integrations.trainer import AttentionCallback, measure_heads

TEXTS = (
    "The bank raised its rates.",
    "I did not like it at all.",
    "Ein Mann",
    "It was a dark and stormy night, the rain fell.",
    "Das ist ein Haus.",
    "old town",
)

pytest.importorskip("accelerate")  # which Trainer needs

Make = Callable[..., Any]


@pytest.fixture
def parts(pretrained: Callable[[str], Path]) -> Callable[[str], tuple[Any, Any]]:
    """Function that loads a model with dropout, and its tokenizer."""

    def load(kind: str) -> tuple[Any, Any]:
        folder = pretrained(kind)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        loaders = {
            "sentiment": transformers.AutoModelForSequenceClassification,
            "gpt2": transformers.AutoModelForCausalLM,
            "t5": transformers.AutoModelForSeq2SeqLM,
        }
        return loaders[kind].from_pretrained(folder), tokenizer

    return load


@pytest.fixture
def make_trainer(parts: Callable[[str], tuple[Any, Any]], tmp_path: Path) -> Make:
    """Function that makes a trainer of a kind; all begin from the same weights."""

    def make(kind: str, name: str = "run", *, evaluation: bool = True, **more: Any) -> Any:
        model, tokenizer = parts(kind)
        examples = [dict(tokenizer(text)) for text in TEXTS * 4]
        if kind == "sentiment":
            for index, example in enumerate(examples):
                example["label"] = index % 3
            collator: Any = transformers.DataCollatorWithPadding(tokenizer)
        else:
            collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)
        settings = {
            "max_steps": 4,
            "logging_steps": 2,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 5,
            "gradient_accumulation_steps": 2,
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            **more,
        }
        return transformers.Trainer(
            model,
            transformers.TrainingArguments(str(tmp_path / name), **settings),
            train_dataset=examples,
            eval_dataset=examples[:6] if evaluation else None,
            data_collator=collator,
            processing_class=tokenizer,
        )

    return make


def reference(
    model: Any, batch: dict[str, torch.Tensor], special: list[int]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Entropy and sink share by layer: written-out attention in float64, then the sums of `regard heads`."""
    model = copy.deepcopy(model).double().eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(**batch, output_attentions=True).attentions
    rows = {name: STATISTICS.index(name) for name in ("entropy", "sink")}
    layers, causal = [], model.config.model_type == "gpt2"
    for weights in found:
        total, count = np.zeros((2, weights.shape[1])), np.zeros(2)
        for example, real in enumerate(batch["attention_mask"].bool()):
            ids = batch["input_ids"][example, real].tolist()
            axis = TokenAxis.of(ids, ["a"] * len(ids), [each in special for each in ids])
            own = weights[example][:, real][:, :, real].numpy()
            sums = head_sums([(slice(0, len(ids)), own)], axis, axis, causal=causal, is_self=True)
            for place, row in enumerate(rows.values()):
                total[place] += sums.total[row]
                count[place] += sums.count[row]
        layers.append((total[0] / count[0], total[1] / count[1]))
    return layers


def random_states() -> tuple[object, ...]:
    numbers: Any = np.random.get_state()
    return random.getstate(), numbers[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["sentiment", "gpt2"])
def test_against_attention_written_out_in_float64(
    parts: Callable[[str], tuple[Any, Any]], kind: str, side: str
) -> None:
    model, tokenizer = parts(kind)
    tokenizer.padding_side = side
    batch = dict(tokenizer(list(TEXTS), padding=True, return_tensors="pt"))
    if "position_ids" not in batch and kind == "gpt2":
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    assert not batch["attention_mask"].all()
    special = tokenizer.all_special_ids
    model.double().train()  # so that what differs is the mathematics, not the roundings of float32
    model.transformer.h[0].eval() if kind == "gpt2" else model.bert.encoder.layer[0].eval()
    modes, before = [part.training for part in model.modules()], random_states()
    figures = measure_heads(model, batch, special)
    assert [part.training for part in model.modules()] == modes
    assert random_states() == before
    for layer, (entropy, sink) in zip(figures, reference(model, batch, special), strict=True):
        np.testing.assert_allclose(layer.entropy, entropy, atol=1e-12)
        np.testing.assert_allclose(layer.sink, sink, atol=1e-12)


def test_sides_of_an_encoder_decoder(parts: Callable[[str], tuple[Any, Any]]) -> None:
    """Padded sources and targets count no more than they would alone."""
    model, tokenizer = parts("t5")
    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[4])]
    sums: dict[tuple[str, int], Any] = {}
    counts = {"encoder": 0, "decoder": 0, "cross": 0}
    for source, target in pairs:
        batch = dict(tokenizer([source], text_target=[target], return_tensors="pt"))
        sizes = {"encoder": batch["input_ids"].shape[1], "cross": batch["labels"].shape[1]}
        counted = {**sizes, "decoder": sizes["cross"] - 1}  # the first query has no choice
        for layer in measure_heads(model, batch):
            share = counted[layer.site] * layer.entropy
            key = layer.site, layer.layer
            sums[key] = sums.get(key, 0) + share
        counts = {site: counts[site] + counted[site] for site in counts}
    padded = tokenizer([s for s, _ in pairs], padding=True, return_tensors="pt")
    labels = tokenizer([t for _, t in pairs], padding=True, return_tensors="pt")["input_ids"]
    labels[labels == tokenizer.pad_token_id] = -100
    together = measure_heads(model, {**padded, "labels": labels})
    assert {layer.site for layer in together} == {"encoder", "decoder", "cross"}
    for layer in together:
        expected = sums[layer.site, layer.layer] / counts[layer.site]
        np.testing.assert_allclose(layer.entropy, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sentiment", "gpt2"])
def test_training_is_not_touched(make_trainer: Make, kind: str) -> None:
    """Losses, weights and random numbers bit for bit, with dropout, accumulation and evaluation."""
    more = {"eval_strategy": "steps", "eval_steps": 3}
    plain, seen = make_trainer(kind, "plain", **more), make_trainer(kind, "seen", **more)
    callback = AttentionCallback(seen)
    seen.add_callback(callback)
    ends = []
    for trainer in (plain, seen):
        transformers.set_seed(1)
        trainer.train()
        ends.append(random_states())
    assert ends[0] == ends[1]
    for name, weights in plain.model.state_dict().items():
        assert torch.equal(weights, seen.model.state_dict()[name]), name
    figures = [
        [
            {k: r[k] for k in ("loss", "eval_loss", "grad_norm", "step") if k in r}
            for r in trainer.state.log_history
            if "loss" in r or "eval_loss" in r
        ]
        for trainer in (plain, seen)
    ]
    assert figures[0] == figures[1]
    assert [step for step, _ in callback.history] == [0, 2, 4]


def test_every_head_is_in_the_event_files(make_trainer: Make, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = make_trainer("sentiment", report_to=["tensorboard"])
    callback = AttentionCallback(trainer)
    trainer.add_callback(callback)
    trainer.train()
    (file,) = tmp_path.rglob("events.out.tfevents*")
    events = accumulator.EventAccumulator(str(file)).Reload()
    for layer in range(3):
        for head in range(4):
            for name in ("entropy", "sink"):
                read = events.Scalars(f"train/attention/encoder/layer_{layer}/head_{head}/{name}")
                assert [event.step for event in read] == [0, 2, 4]
                expected = [getattr(f[layer], name)[head] for _, f in callback.history]
                np.testing.assert_allclose([event.value for event in read], expected, rtol=1e-6)
    lowest = events.Scalars("train/attention_entropy_lowest")
    entropy = [np.concatenate([f.entropy for f in figures]) for _, figures in callback.history]
    np.testing.assert_allclose([e.value for e in lowest], [e.min() for e in entropy], rtol=1e-6)
    # The history in every checkpoint has the summary alone.
    records = [r for r in trainer.state.log_history if "attention_entropy" in r]
    assert [r["attention_entropy"] for r in records] == [float(e.mean()) for e in entropy]
    assert not any(name.startswith("attention/") for r in records for name in r)


def test_the_console_gets_the_summary_alone(make_trainer: Make, capsys: Any) -> None:
    trainer = make_trainer("sentiment")
    trainer.add_callback(AttentionCallback(trainer))
    trainer.train()
    printed = capsys.readouterr().out
    assert "attention_entropy_lowest" in printed
    assert "head_0" not in printed


def test_the_probe_is_what_the_user_gave_or_the_first_examples(make_trainer: Make) -> None:
    probe = {"input_ids": torch.tensor([[2, 9, 8, 7, 3]])}
    given = AttentionCallback(trainer := make_trainer("sentiment"), probe)
    trainer.add_callback(given)
    trainer.train()
    expected = measure_heads(trainer.model, probe, trainer.processing_class.all_special_ids)
    for layer, other in zip(given.history[-1][1], expected, strict=True):
        assert np.array_equal(layer.entropy, other.entropy)
    taken = AttentionCallback(trainer := make_trainer("sentiment", evaluation=False))
    trainer.add_callback(taken)
    trainer.train()
    first = trainer.data_collator(list(trainer.train_dataset)[:5])
    expected = measure_heads(trainer.model, first, trainer.processing_class.all_special_ids)
    for layer, other in zip(taken.history[-1][1], expected, strict=True):
        assert np.array_equal(layer.entropy, other.entropy)


def test_a_run_that_goes_on_records_its_beginning_once(make_trainer: Make) -> None:
    first = make_trainer("sentiment", max_steps=2, save_strategy="steps", save_steps=2)
    first.train()
    second = make_trainer("sentiment", max_steps=4)
    callback = AttentionCallback(second)
    second.add_callback(callback)
    second.train(resume_from_checkpoint=str(Path(first.args.output_dir) / "checkpoint-2"))
    assert [step for step, _ in callback.history] == [4]


def test_faults(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer("sentiment")
    trainer.eval_dataset = []
    trainer.add_callback(AttentionCallback(trainer))
    with pytest.raises(InputError, match=r"no example to look at; give a batch .*probe="):
        trainer.train()
    monkeypatch.setattr(trainer, "is_fsdp_enabled", True)
    with pytest.raises(InputError, match="DistributedDataParallel"):
        AttentionCallback(trainer).on_train_begin(trainer.args, trainer.state, trainer.control)
