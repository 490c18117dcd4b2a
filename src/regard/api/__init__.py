"""The user's verbs: train, load, and what a model of each task can do."""

from regard.api.base import Evaluation, Model
from regard.api.classification import Classification, Classifier
from regard.api.evaluate import evaluate
from regard.api.load import load
from regard.api.train import train
from regard.api.translation import Translation, Translator

__all__ = [
    "Classification",
    "Classifier",
    "Evaluation",
    "Model",
    "Translation",
    "Translator",
    "evaluate",
    "load",
    "train",
]
