"""Loading of a model from its folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from regard.api.config.presets import PRESETS
from regard.api.config.settings import RunSettings
from regard.api.storage.folder import CONFIG, read_config
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.api.tasks.summarization import AbstractiveSummarizer
from regard.api.tasks.translation import Translator
from regard.choices import Task
from regard.errors import ModelFolderError, RegardError
from regard.integrations.pretrained.folder import is_pretrained
from regard.training.checkpoint import WEIGHTS_FILE, load_weights

__all__ = ["MODELS", "load"]

MODELS: dict[str, type[Model]] = {
    "transformer": Translator,
    "rnn": Translator,
    "pointer": AbstractiveSummarizer,
    "extractive": ExtractiveSummarizer,
    **dict.fromkeys(PRESETS["classification"].kinds, Classifier),
    "lm": Generator,
}
"""Class of the model for each kind of network."""


def load(folder: str | PathLike[str], *, weights: bool = True, task: Task | None = None) -> Model:
    """Load the model in a folder that `regard train`, or `save_pretrained` of transformers, wrote.

    Example::

        regard.load("runs/de-en").translate(["Ein Mann fährt Rad."])

    Args:
        folder: as given to `--out`, or the folder of a pretrained model.
        weights: `False` leaves the network untrained.
        task: of a pretrained encoder-decoder, which may translate (unless it is to do another) or
            summarise; `None` takes the model's own.

    Raises:
        ModelFolderError: no model there, a damaged one, or one from a newer version.
    """
    folder = Path(folder)
    if is_pretrained(folder):
        from regard.api.pretrained import model_of  # transformers is slow to import

        return model_of(folder, task)
    config = read_config(folder)
    try:
        settings = RunSettings(**config["settings"])
        model = MODELS[settings.kind].from_folder(folder, settings, config)
    except ModelFolderError:
        raise
    except (KeyError, TypeError, RegardError) as error:
        raise ModelFolderError(f"{folder / CONFIG}: damaged ({error}); train it again") from error
    if weights:
        load_weights(model.network, folder / WEIGHTS_FILE)
        model.network.eval()
    model.folder = folder
    return model
