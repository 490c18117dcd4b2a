"""The models of a server, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from regard.api import Classifier, Model
from regard.api.knockouts import steerable_heads
from regard.api.load import load
from regard.errors import InputError, nearest
from regard.integrations.pretrained.hub import is_hub_name
from regard.serving import schemas as m
from regard.serving.errors import RequestError

__all__ = ["ModelRegistry"]


class ModelRegistry:
    """Loaded models by name. Clients send names, never paths.

    Args:
        models: by the name that clients use.

    Attributes:
        infos: public facts about each model.

    Raises:
        InputError: no model, or one that gives no answer.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        if not models:
            raise InputError("no model to serve; give the folder of at least one")
        for name, model in models.items():
            if not model.answers:
                raise InputError(
                    f"{name} gives no answer that could be served (it only reads); "
                    f"try: regard {model.verb} {model.folder or name}"
                )
        self.models: dict[str, Model] = dict(models)
        self.infos: list[m.ModelInfo] = [_model_info(name, model) for name, model in models.items()]

    @classmethod
    def of(cls, folders: Sequence[str | PathLike[str]]) -> ModelRegistry:
        """Load model folders; the last part of the path, or of a name of the Hub, names a model.

        Raises:
            InputError: two of the same name.
            ModelFolderError: a folder without a model.
        """
        paths = [Path(f) if is_hub_name(f) else Path(f).resolve() for f in folders]
        names = [path.name for path in paths]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"two folders are called {min(twice)!r}; rename one")
        return cls({path.name: load(path) for path in paths})

    def find(self, name: str | None, task: str | None) -> tuple[str, Model]:
        """The model that a request names or implies.

        Args:
            name: given by the client; `None` if a single model fits.
            task: required of the model; `None` for any.

        Raises:
            RequestError: 404 for an unknown name, 422 if the model is for another task or not named.
        """
        fitting = [n for n, model in self.models.items() if task in (None, model.task)]
        if name is None:
            if len(fitting) == 1:
                return fitting[0], self.models[fitting[0]]
            have = ", ".join(fitting) or "none"
            raise RequestError(422, f"say which model: 'model' is one of {have}, see /health")
        if name not in self.models:
            raise RequestError(
                404, f"no model {name[:80]!r} here; {nearest(name[:80], self.models)}"
            )
        if name not in fitting:
            model = self.models[name]
            raise RequestError(422, f"{name!r} is for {model.task}; try /{model.verb}")
        return name, self.models[name]


def _model_info(name: str, model: Model) -> m.ModelInfo:
    decoding = model.settings.decoding
    return m.ModelInfo(
        name=name,
        task=model.task,
        kind=model.settings.kind,
        parameters=model.num_parameters,
        writes=model.writes,
        labels=list(model.labels),
        beam=decoding.beam if decoding.method == "beam" else 1,
        reads_pairs=isinstance(model, Classifier) and model.tokenizer.marks_pairs,
        heads=steerable_heads(model),
        verdict=model.verdict,
    )
