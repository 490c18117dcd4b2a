"""The user's verbs: train, load, evaluate, and what a model of each task can do."""

from regard.api.answers import Classification, Continuation, Summary, Translation
from regard.api.base import Evaluation, Model
from regard.api.classification import Classifier
from regard.api.evaluate import evaluate
from regard.api.generation import Generator
from regard.api.load import load
from regard.api.summarization import Picker, Summarizer, Writer
from regard.api.train import train
from regard.api.translation import Translator

__all__ = [
    "Classification",
    "Classifier",
    "Continuation",
    "Evaluation",
    "Generator",
    "Model",
    "Picker",
    "Summarizer",
    "Summary",
    "Translation",
    "Translator",
    "Writer",
    "evaluate",
    "load",
    "train",
]
