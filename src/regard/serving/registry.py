"""The models of a server, by name."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from os import PathLike
from typing import Any

from pydantic import BaseModel

from regard.api import Classifier, Model
from regard.api.knockouts import steerable_heads
from regard.api.tasks.masked import MaskedLanguage
from regard.choices import Precision
from regard.errors import InputError, nearest
from regard.serving import schemas as m
from regard.serving.errors import RequestError
from regard.serving.messages import Content, Handler, Run
from regard.serving.snapshot import load_from, snapshots_of

__all__ = ["ModelList", "ModelRegistry", "run_batch"]


class ModelList:
    """Facts about the models of a server, by which requests find theirs.

    Args:
        infos: of each model.

    Attributes:
        infos: of each model, in order.
    """

    def __init__(self, infos: Sequence[m.ModelInfo]) -> None:
        self.infos: list[m.ModelInfo] = list(infos)

    def find(self, name: str | None, verb: str | None) -> m.ModelInfo:
        """The model that a request names or implies.

        Args:
            name: given by the client; `None` if a single model fits.
            verb: that the model must answer; `None` for any.

        Raises:
            RequestError: 404 for an unknown name, 422 if the model answers another verb or is not named.
        """
        fitting = {info.name: info for info in self.infos if verb in (None, info.verb)}
        if name is None:
            if len(fitting) == 1:
                return next(iter(fitting.values()))
            have = ", ".join(fitting) or "none"
            raise RequestError(422, f"say which model: 'model' is one of {have}, see /health")
        if name in fitting:
            return fitting[name]
        known = {info.name: info for info in self.infos}
        if name not in known:
            raise RequestError(404, f"no model {name[:80]!r} here; {nearest(name[:80], known)}")
        raise RequestError(422, f"{name!r} is for {known[name].task}; try /{known[name].verb}")


class ModelRegistry(ModelList):
    """Loaded models by name, which answer in this process. Clients send names, never paths.

    Args:
        models: by the name that clients use.

    Attributes:
        models: by name.

    Raises:
        InputError: no model, or one that gives no answer.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        if not models:
            raise InputError("no model to serve; give the folder of at least one")
        for name, model in models.items():
            if _verb_of(model) == "look":
                raise InputError(
                    f"{name} gives no answer that could be served (it only reads); "
                    f"try: regard {model.verb} {model.folder or name}"
                )
        super().__init__([_model_info(name, model) for name, model in models.items()])
        self.models: dict[str, Model] = dict(models)

    @classmethod
    def of(
        cls, folders: Sequence[str | PathLike[str]], *, precision: Precision = "float32"
    ) -> ModelRegistry:
        """Load model folders; the last part of the path, or of a name of the Hub, names a model.

        Raises:
            InputError: two of the same name.
            ModelFolderError: a folder without a model.
        """
        models = {}
        with ExitStack() as stack:
            snapshots = [stack.enter_context(closing(each)) for each in snapshots_of(folders)]
            for snapshot in snapshots:
                with snapshot.folder() as place:
                    models[snapshot.name] = load_from(place, snapshot.source, precision=precision)
        return cls(models)

    @property
    def workers(self) -> int:
        """Processes that answer at the same time, now."""
        return 1

    @property
    def most_workers(self) -> int:
        """Processes that answer at the same time."""
        return 1

    def answer(self, handler: Handler, name: str, items: Sequence[Any]) -> list[Content]:
        """Answer a batch of requests.

        Args:
            handler: of the kind of request.
            name: of the model.
            items: requests.
        """
        return run_batch(handler, name, self.models[name], items)


def run_batch(
    handler: Handler, name: str, model: Model, items: Sequence[Any], *, worker: int = 0
) -> list[Content]:
    """Answer a batch by a model, as texts that can be sent; `worker` is the number of this process."""
    begin = time.time_ns()
    answers = handler(name, model, items)
    texts = [a.model_dump_json() if isinstance(a, BaseModel) else str(a) for a in answers]
    run = Run(worker, name, begin, time.time_ns(), len(items))
    return [Content(text, run) for text in texts]


def _verb_of(model: Model) -> str:
    """The call that a model answers; `look` of one that gives no answer."""
    return "fill" if isinstance(model, MaskedLanguage) else model.verb


def _model_info(name: str, model: Model) -> m.ModelInfo:
    decoding = model.settings.decoding
    return m.ModelInfo(
        name=name,
        task=model.task,
        kind=model.settings.kind,
        parameters=model.num_parameters,
        verb=_verb_of(model),
        precision=model.precision,
        writes=model.writes,
        labels=list(model.labels),
        beam=decoding.beam if decoding.method == "beam" else 1,
        reads_pairs=isinstance(model, Classifier) and model.tokenizer.marks_pairs,
        heads=steerable_heads(model),
        verdict=model.verdict,
    )
