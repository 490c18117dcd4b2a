"""Loading of a model from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.config.presets import PRESETS, PRETRAINED
from regard.api.config.settings import RunSettings
from regard.api.storage.folder import CONFIG, read_config
from regard.api.storage.replacing import read_whole
from regard.api.storage.seal import FILES, IDENTITY, check_file
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model
from regard.api.tasks.summarization import AbstractiveSummarizer
from regard.api.tasks.translation import Translator
from regard.choices import Precision, Task
from regard.errors import ModelFolderError, RegardError
from regard.integrations.pretrained.folder import is_pretrained
from regard.integrations.pretrained.hub import is_hub_name, local_folder
from regard.models import from_config
from regard.models.layout import state_layout
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE, check_layout, load_weights
from regard.training.tensors import read_layout

__all__ = ["MODELS", "load", "load_mapped", "load_model", "model_class"]

MODELS: dict[str, type[Model]] = {
    "transformer": Translator,
    "rnn": Translator,
    "pointer": AbstractiveSummarizer,
    "extractive": ExtractiveSummarizer,
    **dict.fromkeys(PRESETS["classification"].kinds, Classifier),
    "lm": Generator,
    "masked": MaskedLanguage,
}
"""Class of the model for each kind of network."""


def model_class(settings: RunSettings) -> type[Model]:
    """Class of the model of a run."""
    if settings.kind == PRETRAINED:
        from regard.api.tuning import TUNED  # transformers is slow to import

        return TUNED[settings.task]
    return MODELS[settings.kind]


def load(
    folder: str | PathLike[str],
    *,
    weights: bool = True,
    task: Task | None = None,
    precision: Precision = "float32",
) -> Model:
    """Load the model in a folder that `regard train`, or `save_pretrained` of transformers, wrote.

    Example::

        regard.load("runs/de-en").translate(["Ein Mann fährt Rad."])

    Args:
        folder: as given to `--out`, or the folder of a pretrained model; `hf:OWNER/NAME` or
            `hf:OWNER/NAME@REVISION` for one of the Hugging Face Hub.
        weights: `False` leaves the network untrained.
        task: of a pretrained encoder-decoder, which may translate (unless it is to do another) or
            summarise; `None` takes the model's own.
        precision: of the matrix products with which it answers: `"int8"` (weights quantised for each output,
            activations for each row) or `"bfloat16"`. Embeddings, norms, attention and recurrent cells stay
            in float32, and so does what needs gradients and what is saved.

    Raises:
        SettingsError: a precision that the model cannot be given: it has no linear layer large enough.
        ModelFolderError: no model there, or one that is damaged, was changed after it was written, or is from
            a newer version.
    """
    folder = local_folder(folder) if is_hub_name(folder) else Path(folder)
    model = read_whole(folder, lambda: _load(folder, weights=weights, task=task))
    model.answer_in(precision)
    return model


def load_mapped(folder: Path) -> Model:
    """Load the model of a folder, whose weights stay in their files: processes that map them share the memory.

    Args:
        folder: whose safetensors nobody changes as long as the model is in use.

    Raises:
        ModelFolderError: see `load`.
    """
    return _load(folder, weights=True, task=None, mapped=True)


def _load(folder: Path, *, weights: bool, task: Task | None, mapped: bool = False) -> Model:
    if is_pretrained(folder):
        from regard.api.pretrained import (
            model_of,
        )  # transformers is slow to import, and always maps

        model = model_of(folder, task)
        model.take_files_of(folder)
        return model
    return load_model(folder, weights=weights, mapped=mapped)


def load_model(
    folder: Path, *, weights: bool = True, seals: bool = True, mapped: bool = False
) -> Model:
    """Load a model that `regard train` wrote; with `seals=False` also one that was changed by hand."""
    config = read_config(folder, seals=seals)
    owner = config.get(IDENTITY, "") if seals else ""
    try:
        settings = RunSettings(**config["settings"])
        _check_sizes(folder, config, weights=weights)
        for name in config.get(FILES, ()) if seals else ():
            check_file(folder, name, config)
        model = model_class(settings).from_folder(folder, settings, config)
    except ModelFolderError:
        raise
    except (KeyError, TypeError, AttributeError, RegardError) as error:
        raise ModelFolderError(f"{folder / CONFIG}: damaged ({error}); train it again") from error
    if weights:
        load_weights(
            model.network, folder / WEIGHTS_FILE, belongs_to=owner, seals=seals, mapped=mapped
        )
        model.network.eval()
        model.take_files_of(folder)
    model.folder = folder
    return model


def _check_sizes(folder: Path, config: Mapping[str, Any], *, weights: bool) -> None:
    """Compare the network of `config.json` with the tensors on disk, before memory is taken for it."""
    if config["settings"]["kind"] == PRETRAINED:
        return  # its layout is that of transformers, which tells it when it makes the network
    path = folder / (WEIGHTS_FILE if weights else RUN_FILE)
    if not weights and not path.is_file():
        return
    found = read_layout(path).tensors
    if not weights:  # a run that goes on: the state of its optimizer is in that file, too
        found = {n.removeprefix("model/"): t for n, t in found.items() if n.startswith("model/")}
    check_layout(state_layout(from_config(config["model"]), tensors=len(found)), found, path)
