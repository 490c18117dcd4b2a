"""The estimator, in the hands of scikit-learn itself."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.utils
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

import regard
from regard.data import Example
from regard.errors import InputError, SettingsError
from regard.sklearn import TextClassifier

QUICK: dict[str, Any] = {"steps": 15, "warmup": 1, "ema": 0.0, "learning_rate": 0.02}
WORDS = ["red", "green", "blue", "gold", "grey", "pink"]
TEXTS = [f"{WORDS[n % 6]} {WORDS[n % 5]} is {'good' if n % 2 else 'bad'}" for n in range(40)]
MOODS = ["good" if n % 2 else "bad" for n in range(40)]


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw the history of such a run takes longer than the run."""
    monkeypatch.setattr("regard.viewing.figure.plot_history", lambda *args, **named: None)
    monkeypatch.setattr("regard.viewing.figure.write", lambda *args, **named: None)


def quick(model: str | None = "feedforward", **more: Any) -> TextClassifier:
    return TextClassifier(model, preset="tiny", settings=QUICK, random_state=1, **more)


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return quick().fit(TEXTS, MOODS)


class OfNumbers(TextClassifier):
    """The same estimator behind a table of numbers, which is what scikit-learn's own checks give it.

    A row is written as a text of its rounded numbers; that they are numbers is checked here, all else by
    `TextClassifier`.
    """

    def _write(self, X: Any, *, reset: bool) -> list[str]:
        from sklearn.utils.validation import validate_data

        rows = validate_data(self, X, reset=reset, dtype="numeric").astype(float).tolist()
        return [" ".join(f"f{n}x{round(2 * v)}" for n, v in enumerate(row)) for row in rows]

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(self._write(X, reset=True), y)

    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return super().predict_proba(self._write(X, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        tags.input_tags.string = False
        return tags


@pytest.mark.skipif(not hasattr(sklearn.utils, "get_tags"), reason="its checks came with 1.6")
@parametrize_with_checks(
    [OfNumbers(preset="tiny", settings={"epochs": 2}, random_state=0)]
    if hasattr(sklearn.utils, "get_tags")
    else []
)
def test_the_checks_of_sklearn(estimator: Any, check: Any) -> None:
    """All of them, and none is expected to fail."""
    check(estimator)


def test_it_is_the_model_of_train(fitted: TextClassifier) -> None:
    examples = [Example(text, labels=(mood,)) for text, mood in zip(TEXTS, MOODS, strict=True)]
    model = regard.train(
        "classification",
        train=examples,
        model="feedforward",
        preset="tiny",
        settings={**QUICK, "seed": 1},
    )
    assert isinstance(model, regard.api.Classifier)
    answers = model.classify(TEXTS)
    expected = [[answer.probabilities[name] for name in ("bad", "good")] for answer in answers]
    assert fitted.predict_proba(TEXTS).tolist() == expected
    assert fitted.predict(TEXTS).tolist() == [answer.label for answer in answers]
    assert fitted.score(TEXTS, MOODS) == 1.0
    assert fitted.model_.folder is None


@pytest.mark.parametrize(
    ("classes", "kind"),
    [(["no", "yes"], "U"), ([7, 10], "i"), ([-1, 1], "i"), ([False, True], "b"), ([0.0, 1.0], "f")],
)
def test_classes_of_every_type(classes: list[Any], kind: str) -> None:
    y = [classes[n % 2] for n in range(40)]
    found = quick().fit(TEXTS, y)
    assert found.classes_.tolist() == classes
    predicted = found.predict(TEXTS)
    assert predicted.dtype.kind == kind
    labels = [answer.label for answer in found.model_.classify(TEXTS)]
    assert [str(value) for value in predicted.tolist()] == labels
    assert found.score(TEXTS, y) > 0.9


@pytest.mark.parametrize("tune", ["frozen", "lora"])
def test_pretrained_encoders(pretrained: Callable[[str], Path], tune: Any) -> None:
    pytest.importorskip("peft")
    settings = {} if tune == "frozen" else {"steps": 2}
    estimator = TextClassifier(
        str(pretrained("bert")), tune=tune, settings=settings, random_state=1
    )
    estimator.fit(TEXTS, MOODS)
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict_proba(TEXTS), estimator.predict_proba(TEXTS))
    assert [e.label for e in estimator.explain(TEXTS[:3])] == estimator.predict(TEXTS[:3]).tolist()
    with pytest.raises(SettingsError, match="tunes a pretrained model"):
        quick(tune=tune).fit(TEXTS, MOODS)


def test_classes_are_sorted_as_numpy_sorts_them() -> None:
    """The model counts 2 before 10; scikit-learn sorts texts letter by letter."""
    y = [["10", "2", "-3"][n % 3] for n in range(42)]
    texts = [f"{WORDS[n % 6]} is {['ten', 'two', 'minus'][n % 3]}" for n in range(42)]
    found = quick().fit(texts, y)
    assert found.classes_.tolist() == ["-3", "10", "2"]
    assert found.predict(texts).tolist() == y
    answers = found.model_.classify(texts[:3])
    expected = [[answer.probabilities[name] for name in ("-3", "10", "2")] for answer in answers]
    assert found.predict_proba(texts[:3]).tolist() == expected


def test_arrays_lists_and_series_alike(fitted: TextClassifier) -> None:
    expected = fitted.predict_proba(TEXTS)
    forms: list[Any] = [np.array(TEXTS), np.array(TEXTS, dtype=object), tuple(TEXTS), iter(TEXTS)]
    for form in forms:
        assert np.array_equal(fitted.predict_proba(form), expected)
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(TEXTS, index=range(100, 140))
    assert np.array_equal(fitted.predict_proba(series), expected)


def test_order_and_company_do_not_matter(fitted: TextClassifier) -> None:
    order = np.random.default_rng(0).permutation(40)
    expected = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(
        fitted.predict_proba([TEXTS[n] for n in order]), expected[order], atol=1e-6
    )
    alone = np.concatenate([fitted.predict_proba([text]) for text in TEXTS[:5]])
    np.testing.assert_allclose(alone, expected[:5], atol=1e-6)


def test_blank_texts_get_the_shares_of_the_classes() -> None:
    texts, y = [*TEXTS, "", "  "], [*MOODS, "bad", "bad"]
    found = quick().fit(texts, y)
    assert found.prior_.tolist() == [22 / 42, 20 / 42]
    probabilities = found.predict_proba(["", TEXTS[1], "\n"])
    assert probabilities[[0, 2]].tolist() == [[22 / 42, 20 / 42]] * 2
    np.testing.assert_allclose(probabilities[1], found.predict_proba(TEXTS)[1], atol=1e-6)
    with pytest.raises(InputError, match="every text of class 'odd' is blank"):
        quick().fit([*TEXTS, " "], [*MOODS, "odd"])


def test_random_state() -> None:
    first = quick().fit(TEXTS, MOODS).predict_proba(TEXTS)
    assert np.array_equal(quick().fit(TEXTS, MOODS).predict_proba(TEXTS), first)
    drawn = quick().set_params(random_state=np.random.RandomState(3)).fit(TEXTS, MOODS)
    again = quick().set_params(random_state=np.random.RandomState(3)).fit(TEXTS, MOODS)
    assert np.array_equal(drawn.predict_proba(TEXTS), again.predict_proba(TEXTS))
    assert not np.array_equal(drawn.predict_proba(TEXTS), first)


def test_cross_validation_search_and_pipeline() -> None:
    folds = StratifiedKFold(2)
    search = GridSearchCV(quick(), {"model": ["feedforward", "bigru"]}, cv=folds)
    search.fit(np.array(TEXTS), MOODS)
    assert search.best_estimator_.model_.settings.kind == search.best_params_["model"]
    assert search.score(TEXTS, MOODS) == 1.0

    def lower(texts: Any) -> list[str]:
        return [text.lower() for text in texts]

    pipeline = make_pipeline(FunctionTransformer(lower), quick())
    shouted = [text.upper() for text in TEXTS]
    assert pipeline.fit(TEXTS, MOODS).score(shouted, MOODS) == 1.0


@pytest.mark.dependency
@pytest.mark.slow
def test_in_other_processes() -> None:
    folds = StratifiedKFold(2)
    here = cross_val_score(quick(), TEXTS, MOODS, cv=folds, scoring="neg_log_loss")
    there = cross_val_score(quick(), TEXTS, MOODS, cv=folds, scoring="neg_log_loss", n_jobs=2)
    np.testing.assert_allclose(there, here, rtol=1e-6)


def test_in_threads() -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        found = cross_val_predict(quick(), TEXTS, MOODS, cv=StratifiedKFold(2))
    assert (found == np.array(MOODS)).mean() > 0.9


def test_clone_and_parameters(fitted: TextClassifier) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "model_")
    with pytest.raises(NotFittedError):
        copy.predict(TEXTS)
    assert repr(TextClassifier("cnn")) == "TextClassifier(model='cnn')"
    with pytest.raises(ValueError, match="class_weight"):
        copy.set_params(class_weight="balanced")
    with pytest.raises(TypeError, match="sample_weight"):
        copy.fit(TEXTS, MOODS, sample_weight=np.ones(40))  # type: ignore[call-arg]


def test_joblib_holds_the_files_of_the_folder(fitted: TextClassifier, tmp_path: Path) -> None:
    joblib.dump(fitted, tmp_path / "mood.joblib")
    again = joblib.load(tmp_path / "mood.joblib")
    assert np.array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert again.model_.folder is None
    assert isinstance(fitted.__getstate__()["model_"]["model.safetensors"], bytes)
    assert "torch" not in _modules_named(pickle.dumps(fitted))
    again.model_.save(tmp_path / "mood")
    opened = regard.load(tmp_path / "mood")
    assert isinstance(opened, regard.api.Classifier)
    (label,) = (answer.label for answer in opened.classify(TEXTS[0]))
    assert label == fitted.predict(TEXTS[:1])[0]


def _modules_named(content: bytes) -> set[str]:
    """Modules whose names a pickle holds."""
    words = [str(argument) for _, argument, _ in pickletools.genops(content)]
    return {word.partition(".")[0] for word in words}


def test_explanations_with_the_verdict(fitted: TextClassifier) -> None:
    estimator = pickle.loads(pickle.dumps(fitted))
    assert not hasattr(estimator, "verdict_")
    explained = estimator.explain(TEXTS[:8])
    assert [e.label for e in explained] == estimator.predict(TEXTS[:8]).tolist()
    assert estimator.verdict_.texts == 8
    assert estimator.model_.verdict == estimator.verdict_.sentence
    assert all("`regard trust`" in e.reason for e in explained)
    before = estimator.verdict_
    estimator.explain(TEXTS[:1])  # of one text there is no verdict: that of before stays
    assert estimator.verdict_ is before
    assert estimator.trust(TEXTS, texts=4).texts == 4
    again = pickle.loads(pickle.dumps(estimator))
    assert again.model_.verdict == estimator.verdict_.sentence
    assert not hasattr(estimator.fit(TEXTS, MOODS), "verdict_")
    with pytest.raises(InputError, match=r"X\[1\] is blank"):
        estimator.explain([TEXTS[0], " "])
    with pytest.raises(InputError, match="every text in X is blank"):
        estimator.trust(["", " "])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "X is one text"),
        ([], "0 samples"),
        (["a", None], r"X\[1\] is None of type NoneType"),
        (["a", float("nan")], r"X\[1\] is nan of type float"),
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.array([["a"], ["b"]]), "one column"),
        (3, "X is int"),
    ],
)
def test_what_is_no_texts(X: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        quick().fit(X, ["a", "b"])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        (["a"] * 40, "one class only, 'a'"),
        (MOODS[:-1], "inconsistent numbers of samples"),
        ([0.5, 1.5] * 20, "Unknown label type"),
        ([0.0, np.nan] * 20, "NaN"),
        (np.eye(40), "shape"),
    ],
)
def test_what_is_no_classes(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quick().fit(TEXTS, y)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="did you mean 'epochs'"):
        TextClassifier(settings={"epoch": 3}).fit(TEXTS, MOODS)
    with pytest.raises(InputError, match="random_state"):
        TextClassifier(settings={"seed": 3}).fit(TEXTS, MOODS)
    with pytest.raises(ValueError, match="between 0 and"):
        TextClassifier(random_state=-1).fit(TEXTS, MOODS)
