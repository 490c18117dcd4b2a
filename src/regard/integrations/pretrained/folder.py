"""Folders that `save_pretrained` of transformers wrote: recognised, checked and loaded.

Nothing of a folder is run and nothing is unpickled: weights are safetensors, and a model that brings code of
its own is refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from regard.errors import MissingExtraError, ModelFolderError

__all__ = [
    "Loaded",
    "Use",
    "check_loadable",
    "holds_transformers",
    "is_pretrained",
    "load_head",
    "load_model",
    "load_pretrained",
    "reopened",
    "weight_files",
]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
FINE_TUNED = "regard.json"
"""File that a folder has beside these if `regard` has fine-tuned its model."""

_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pt")
_FOREIGN = ("tf_model.h5", "flax_model.msgpack", "model.gguf", "model.onnx")

Use: TypeAlias = Literal["classification", "text-to-text", "language", "reading"]
"""What a model can be used for: its head decides."""


@dataclass(frozen=True)
class Loaded:
    """A model of transformers with its tokenizer.

    Attributes:
        folder: it was read from.
        model: the `PreTrainedModel`, in evaluation mode.
        tokenizer: the `PreTrainedTokenizer`, fast or slow.
        use: what the model can be used for.
        had_head: whether the folder held a classification head already.
    """

    folder: Path
    model: Any
    tokenizer: Any
    use: Use
    had_head: bool = True

    @property
    def positions(self) -> int | None:
        """Number of positions that the model has, or was made for; `None` where it names no end."""
        limits = [
            table.num_embeddings - _first_position(table)
            for name, table in self.model.named_modules()
            if name.rpartition(".")[2] in _POSITION_TABLES and hasattr(table, "num_embeddings")
        ]
        named = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        limits += [named] if isinstance(named, int) and named > 0 else []
        return min(limits, default=None)

    @property
    def longest(self) -> int | None:
        """Longest text that the model has positions for, special tokens included; `None`: any."""
        config = self.model.config.get_text_config()
        trained = getattr(config, "n_positions", None)  # T5 has no table of them
        limits = (self.positions, trained, self.tokenizer.model_max_length)  # 10 ** 30: not known
        known = [int(limit) for limit in limits if isinstance(limit, int) and 0 < limit < 10**9]
        return min(known, default=None)


_POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")


def _first_position(table: Any) -> int:
    """Row of a table of positions that the first token has: RoBERTa and BART leave some rows out."""
    if hasattr(table, "offset"):
        return int(table.offset)
    return 0 if table.padding_idx is None else int(table.padding_idx) + 1


def is_pretrained(folder: Path) -> bool:
    """Whether a folder holds a model of transformers, and not one of `regard`."""
    return not (folder / FINE_TUNED).is_file() and holds_transformers(folder)


def holds_transformers(folder: Path) -> bool:
    """Whether transformers opens a folder: one that it wrote, or one that `regard` wrote of a tuned model."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(config, dict) or "regard" in config:
        return False
    return isinstance(config.get("model_type"), str) or isinstance(
        config.get("architectures"), list
    )


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder, in order: one, or the shards of an index."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{index}: damaged ({error!r}); copy the folder again") from error
    return [folder / str(name) for name in names]


def load_pretrained(folder: Path) -> Loaded:
    """Load the model and the tokenizer of a folder, by the class that its `config.json` names.

    Raises:
        ModelFolderError: a folder without safetensors, without a tokenizer or with code of its own; a model
            that transformers does not know, that reads no text, or whose weights do not fit.
        MissingExtraError: transformers is not installed.
    """
    model = load_model(folder)
    use = _use_of(model, folder)
    transformers = _transformers()
    with _quiet(transformers):
        tokenizer = _load_tokenizer(transformers, folder)
    return Loaded(folder, model, tokenizer, use)


def load_model(folder: Path) -> Any:
    """Load the model of a folder in evaluation mode, by the class that its `config.json` names.

    Raises:
        ModelFolderError: see `load_pretrained`.
        MissingExtraError: transformers is not installed.
    """
    transformers = _transformers()
    kind = _checked_class(transformers, folder)
    with _quiet(transformers):
        return _load_model(kind, folder).eval()


def load_head(folder: Path, *, seed: int, **config: Any) -> Loaded:
    """Load an encoder with a classification head, new where it has none of that shape.

    Args:
        folder: of any model that reads text in one pass.
        seed: of the initial weights of the head.
        config: values of the model's configuration, such as `num_labels` and `id2label`.

    Raises:
        ModelFolderError: as `load_pretrained`, or a model that cannot be a classifier.
    """
    import torch

    transformers = _transformers()
    _checked_class(transformers, folder)
    own = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    kinds = transformers.AutoModelForSequenceClassification._model_mapping
    if type(own) not in kinds or own.is_encoder_decoder:
        raise ModelFolderError(
            f"{folder}: a model of type {own.model_type!r} cannot be tuned to classify; give an encoder, such "
            "as a BERT, or a decoder that transformers has with a ...ForSequenceClassification"
        )
    kind = kinds[type(own)]
    if isinstance(kind, tuple):
        kind = kind[0]
    with _quiet(transformers), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _load_model(
            kind, folder, head=True, dtype=torch.float32, ignore_mismatched_sizes=True, **config
        )
        tokenizer = _load_tokenizer(transformers, folder)
    model.config.architectures = [kind.__name__]
    own_head = "ForSequenceClassification" in str(own.architectures)
    return Loaded(folder, model.eval(), tokenizer, "classification", had_head=own_head)


def reopened(folder: Path, config: dict[str, Any]) -> Loaded:
    """Model of a folder that `regard` writes, without its weights, and its tokenizer.

    Args:
        folder: with the tokenizer.
        config: content of the `config.json` of transformers.
    """
    import torch

    transformers = _transformers()
    kind = _model_class(transformers, folder, config)
    _refuse_own_code(folder)
    with _quiet(transformers), torch.random.fork_rng():
        model = kind(kind.config_class.from_dict(dict(config)))
        if (folder / "generation_config.json").is_file():
            model.generation_config = transformers.GenerationConfig.from_pretrained(
                folder, local_files_only=True
            )
        tokenizer = _load_tokenizer(transformers, folder)
    return Loaded(folder, model.eval(), tokenizer, _use_of(model, folder))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("a model of transformers", "transformers") from error
    return transformers


def _checked_class(transformers: Any, folder: Path) -> Any:
    """The class of a folder's model, after a look at what must not be there."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    check_loadable(folder)
    return _model_class(transformers, folder, config)


def check_loadable(folder: Path) -> None:
    """Look for what must not be in a folder, before anything of it is read.

    Raises:
        ModelFolderError: it brings code of its own, or its weights are not whole or not safetensors.
    """
    _refuse_own_code(folder)
    _check_weights(folder)


def _refuse_own_code(folder: Path) -> None:
    """Refuse a folder whose configuration asks for code that it brings along."""
    for name in (CONFIG, "tokenizer_config.json"):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("auto_map"):
            wanted = content["auto_map"]
            wanted = sorted(map(str, wanted)) if isinstance(wanted, dict) else [str(wanted)]
            raise ModelFolderError(
                f"{folder / name}: asks for code of its own (auto_map: {', '.join(wanted)}), as "
                "trust_remote_code allows; regard runs no code that comes with a model. If transformers "
                "has the model itself, take auto_map out of the file"
            )


def _check_weights(folder: Path) -> None:
    """Refuse a folder whose weights are not whole or not safetensors, with what to do."""
    if (folder / WEIGHTS).is_file() or (folder / INDEX).is_file():
        for path in weight_files(folder):
            if not path.is_file():
                raise ModelFolderError(f"{path}: missing, though {INDEX} names it; copy it too")
        return
    if (folder / "adapter_config.json").is_file():
        raise ModelFolderError(
            f"{folder} holds an adapter of peft without its model; merge them with "
            "merge_and_unload() of peft, and save_pretrained the result"
        )
    for name in _PICKLED:
        if (folder / name).is_file():
            raise ModelFolderError(
                f"{folder / name}: pickled weights, which may run any code when they are read, and regard "
                "reads none; convert them where you trust them: in Python, "
                "model = transformers.AutoModel.from_pretrained(FOLDER) of the model's own class, then "
                "model.save_pretrained(FOLDER), which writes model.safetensors"
            )
    other = next((name for name in _FOREIGN if (folder / name).is_file()), None)
    found = f"only {other}" if other else "no weights"
    raise ModelFolderError(
        f"{folder} holds {found}; expected {WEIGHTS} or {INDEX}, as save_pretrained writes"
    )


def _model_class(transformers: Any, folder: Path, config: dict[str, Any]) -> Any:
    """The class of `architectures`, or of the bare model where the config names none."""
    kind = config.get("model_type")
    if kind is not None and kind not in transformers.CONFIG_MAPPING:
        raise ModelFolderError(
            f"{folder / CONFIG}: transformers {transformers.__version__} does not know the model type "
            f"{kind!r}; try a newer one: pip install --upgrade transformers"
        )
    names = config.get("architectures") or []
    if not names:
        return transformers.AutoModel
    found = getattr(transformers, str(names[0]), None)
    if not isinstance(found, type):
        raise ModelFolderError(
            f"{folder / CONFIG}: transformers {transformers.__version__} has no class {names[0]!r} "
            "(architectures); try a newer one: pip install --upgrade transformers"
        )
    return found


def _load_model(kind: Any, folder: Path, *, head: bool = False, **options: Any) -> Any:
    """Load a model; with `head`, the weights that its body does not have may be new."""
    try:
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # from many libraries below, each with errors of its own
        raise ModelFolderError(
            f"{folder}: transformers cannot load its {kind.__name__} ({_first_line(error)})"
        ) from error
    body = f"{model.base_model_prefix}."
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        found = [each for each in report.get(what) or () if not (head and _of_head(each, body))]
        if found:
            first = str(sorted(map(str, found))[0])
            raise ModelFolderError(
                f"{folder}: its weights do not fit the {kind.__name__} of {CONFIG}: "
                f"{what.replace('_', ' ')}, {first} ({len(found)} in all); transformers would draw "
                "them at random"
            )
    return model


def _of_head(found: Any, body: str) -> bool:
    """Whether a key of a report (with its shapes, or alone) is of a head, and not of the body."""
    name = found if isinstance(found, str) else str(found[0])
    return not name.startswith(body) or name.startswith(f"{body}pooler.")


def _load_tokenizer(transformers: Any, folder: Path) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # from many libraries below, each with errors of its own
        raise ModelFolderError(
            f"{folder}: its tokenizer cannot be loaded ({_first_line(error)}); save it beside the model "
            "with tokenizer.save_pretrained(FOLDER)"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _use_of(model: Any, folder: Path) -> Use:
    """What a model can be used for.

    Raises:
        ModelFolderError: it reads no text, or gives a number instead of labels.
    """
    name = type(model).__name__
    if model.main_input_name != "input_ids":
        raise ModelFolderError(
            f"{folder} holds a {name}, which reads {model.main_input_name}, not text; regard look takes "
            "--image FILE or --audio FILE for it, and regard.watch shows its attention in Python"
        )
    if name.endswith("ForSequenceClassification"):
        config = model.config
        if config.problem_type == "regression" or config.num_labels == 1:
            raise ModelFolderError(
                f"{folder} holds a {name} that gives a number (problem_type {config.problem_type!r}, "
                f"{config.num_labels} label), and classification tells labels apart; regard.watch shows "
                "its attention in Python"
            )
        return "classification"
    if model.config.is_encoder_decoder:
        if not model.can_generate():
            raise ModelFolderError(
                f"{folder} holds a {name}, an encoder-decoder without a head that writes; save one that "
                "has it, such as AutoModelForSeq2SeqLM"
            )
        return "text-to-text"
    return "language" if model.can_generate() else "reading"


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and reports: what matters of a report is raised as an error."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
