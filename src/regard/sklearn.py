"""A text classifier with the manners of scikit-learn.

>>> from regard.sklearn import TextClassifier
>>> TextClassifier(model="cnn", random_state=3).get_params()["model"]
'cnn'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from regard.api.load import load
from regard.api.tasks.classification import Classifier
from regard.api.train import train
from regard.api.trust import trust
from regard.choices import Tune
from regard.data import Example, Labelled
from regard.errors import InputError
from regard.evaluation.faithfulness.verdict import Verdict
from regard.viewing.data.explanation import Explanation

if TYPE_CHECKING:  # scikit-learn has no types

    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def __getstate__(self) -> dict[str, Any]: ...
        def __setstate__(self, state: dict[str, Any]) -> None: ...
        def __sklearn_tags__(self) -> Any: ...

    class ClassifierMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...
else:
    from sklearn.base import BaseEstimator, ClassifierMixin

__all__ = ["TextClassifier"]

Texts: TypeAlias = Iterable[str]
"""A list, NumPy array or pandas Series of texts."""


class TextClassifier(ClassifierMixin, BaseEstimator):
    """Text classifier of `regard` as an estimator of scikit-learn.

    It takes texts, not features, so it is a pipeline by itself, and the last step of one whose other steps
    turn texts into texts::

        classifier = TextClassifier(random_state=0)
        cross_val_score(classifier, texts, labels)
        GridSearchCV(classifier, {"model": ["wide", "cnn"], "settings": [{"epochs": 3}, {"epochs": 6}]})

    It trains as `regard.train` does, with `random_state` as the seed: a tenth of the texts (a thousand at
    most) is held out to choose the weights. Blank texts are left out of training, and their answer is the
    share of each class in `y`: there is nothing to read.

    `joblib.dump` and `pickle` hold the files of the model's folder (safetensors and JSON). To read a pickle
    runs whatever is in it, as everywhere in scikit-learn; `model_.save(folder)` and `regard.load` do not.

    Args:
        model: kind of model, `"wide"`, `"cnn"`, `"bigru"`, `"feedforward"`, `"transformer-classifier"` or
            `"hierarchical"`; or a pretrained one, a folder or `"hf:OWNER/NAME"`. `None` takes the default of
            `regard.train`.
        tune: how a pretrained model is tuned, `"frozen"`, `"full"` or `"lora"`; as in `regard.train`.
        preset: `"tiny"`, `"small"` or `"base"`.
        settings: single settings of the training, the text or the model by name, e.g. `{"epochs": 3}`.
        random_state: seed; `None` draws one from NumPy's global generator, as scikit-learn does.

    Attributes:
        classes_: `(classes,)`, the different values of `y`, sorted.
        model_: the `regard` model, to look at, save and serve.
        prior_: `(classes,)`, share of each class in `y`.
        verdict_: what `trust` measured; absent before.
    """

    classes_: NDArray[Any]
    model_: Classifier
    prior_: NDArray[np.float64]
    verdict_: Verdict

    def __init__(
        self,
        model: str | None = None,
        *,
        tune: Tune | None = None,
        preset: str = "small",
        settings: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.model: str | None = model
        self.tune: Tune | None = tune
        self.preset: str = preset
        self.settings: Mapping[str, Any] | None = settings
        self.random_state: int | np.random.RandomState | None = random_state

    def fit(self, X: Texts, y: ArrayLike) -> Self:
        """Train on texts and their classes.

        Args:
            X: `(n,)` texts.
            y: `(n,)` classes: strings, integers or Booleans.

        Returns:
            This estimator.

        Raises:
            InputError: `X` holds something else than texts, or `y` one class only (also a `ValueError`);
                `SettingsError` for a setting.
        """
        texts = _texts(X)
        targets = _targets(y)
        check_consistent_length(texts, targets)
        classes, numbers = np.unique(targets, return_inverse=True)
        names = _names(classes)
        examples = [
            Example(text, labels=(names[number],), origin=("X", row))
            for row, (text, number) in enumerate(zip(texts, numbers, strict=True), 1)
            if text.strip()
        ]
        _check_classes(examples, names)
        trained = train(
            "classification",
            train=examples,
            model=self.model,
            tune=self.tune,
            preset=self.preset,
            settings={**(self.settings or {}), "seed": self._seed()},
            columns=Labelled(rare="keep"),
        )
        self.classes_ = classes
        self.prior_ = np.bincount(numbers, minlength=len(classes)) / len(numbers)
        self.model_ = cast("Classifier", trained)
        if hasattr(self, "verdict_"):
            del self.verdict_  # about another model
        return self

    def _seed(self) -> int:
        if "seed" in (self.settings or {}):
            raise InputError("settings has a seed; give it as random_state")
        if isinstance(self.random_state, int | np.integer) and self.random_state >= 0:
            return int(self.random_state)  # so that the model is that of `regard.train`
        return int(check_random_state(self.random_state).randint(2**31))

    def predict_proba(self, X: Texts) -> NDArray[np.float64]:
        """Probability of each class, `(n, classes)` in the order of `classes_`.

        Args:
            X: `(n,)` texts; a blank one gets `prior_`.
        """
        check_is_fitted(self)
        texts = _texts(X)
        order = _names(self.classes_)
        found = np.tile(self.prior_, (len(texts), 1))
        row = 0
        for chunk in _chunks(texts):
            for answer in self.model_.classify(chunk):
                if answer.probabilities:
                    found[row] = [answer.probabilities[name] for name in order]
                row += 1
        return found

    def predict(self, X: Texts) -> NDArray[Any]:
        """Most probable class of each text, `(n,)`."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def trust(self, X: Texts, *, texts: int = 200) -> Verdict:
        """Measure how far attention explains the answers: `regard.api.trust`, kept as `verdict_`.

        Args:
            X: texts that the model was not trained on; their classes are not needed.
            texts: largest number of texts, drawn evenly from `X`.
        """
        check_is_fitted(self)
        examples = [Example(text, origin=("X", n)) for n, text in enumerate(_texts(X), 1)]
        examples = [example for example in examples if example.text.strip()]
        if not examples:
            raise InputError("every text in X is blank; there is nothing to measure")
        with TemporaryDirectory() as place:
            folder = Path(place) / "model"
            _save(self.model_, folder)
            model = load(folder)  # a verdict belongs to the weights of a file
            self.verdict_ = cast("Verdict", trust(model, examples, texts=texts))
            model.folder = None
        self.model_ = cast("Classifier", model)
        return self.verdict_

    def explain(self, X: Texts) -> list[Explanation]:
        """How much each word counts for the likeliest class, by every method side by side.

        The verdict of `trust` decides which method is in front, and `reason` says so. Where nothing was
        measured yet, `X` is measured first.

        Args:
            X: texts, none of them blank.

        Returns:
            One explanation for each text; `verdict_` holds the verdict.
        """
        check_is_fitted(self)
        texts = _texts(X)
        blank = [row for row, text in enumerate(texts) if not text.strip()]
        if blank:
            raise InputError(
                f"X[{blank[0]}] is blank, so there is no word to explain; leave it out"
            )
        if texts and not hasattr(self, "verdict_"):
            self.trust(texts)
        return [self.model_.explain(text) for text in texts]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {**super().__getstate__()}
        if "model_" in state:
            state["model_"] = _pack(self.model_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.get("model_")
        super().__setstate__(state if files is None else {**state, "model_": _unpack(files)})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.non_deterministic = self.random_state is None
        return tags


def _texts(X: Texts) -> list[str]:
    """The texts of an array-like.

    Raises:
        InputError: one text alone, several columns, or something that is no text, with its place.
    """
    if isinstance(X, str | bytes):
        raise InputError(f"X is one text ({X[:30]!r}); expected several, as in [text]")
    shape = getattr(X, "shape", ())
    if len(shape) > 1:
        raise InputError(
            f"X has shape {shape}; expected one text a row, shape (n,): of a table, one column"
        )
    if not isinstance(X, Iterable):
        raise InputError(f"X is {type(X).__name__}; expected a list or array of texts")
    texts = list(X)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"X[{row}] is {text!r} of type {type(text).__name__}; expected a text (for a missing one, '')"
            )
    if not texts:
        raise InputError("X holds no texts: found 0 samples, and at least 1 is required")
    return [str(text) for text in texts]  # not NumPy's


def _targets(y: ArrayLike) -> NDArray[Any]:
    """The classes, one a row."""
    if y is None:
        raise InputError("TextClassifier requires y to be passed, but the target y is None")
    targets = np.asarray(column_or_1d(y, warn=True))
    assert_all_finite(targets, input_name="y")
    check_classification_targets(targets)
    return targets


def _names(classes: NDArray[Any]) -> list[str]:
    """Classes as labels of the model."""
    return [str(value) for value in classes.tolist()]


def _check_classes(examples: list[Example], names: list[str]) -> None:
    """Make sure that there are several classes, and a text of each."""
    if len(names) < 2:
        raise InputError(f"y has one class only, {names[0]!r}; there is nothing to tell apart")
    read = {example.labels[0] for example in examples}
    for name in names:
        if name not in read:
            raise InputError(f"every text of class {name!r} is blank, so it cannot be learned")


def _chunks(texts: list[str], size: int = 4096) -> Iterable[list[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def _save(model: Classifier, folder: Path) -> None:
    """Save a model without making the folder its own."""
    own = model.folder
    model.save(folder)
    model.folder = own


def _pack(model: Classifier) -> dict[str, bytes]:
    """The files of the model's folder by name."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "model"
        _save(model, folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _unpack(files: Mapping[str, bytes]) -> Classifier:
    """The model of `_pack`."""
    with TemporaryDirectory() as place:
        for name, content in files.items():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        model = load(place)
        model.folder = None
    return cast("Classifier", model)
