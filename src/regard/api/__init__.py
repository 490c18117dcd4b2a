"""The user's verbs: train, load, evaluate, and what a model of each task can do."""

from regard.api.compare import compare
from regard.api.corpus.comparison import ModelComparison
from regard.api.corpus.head_comparison import HeadComparison
from regard.api.corpus.head_report import HeadReport
from regard.api.corpus.head_result import HeadResult
from regard.api.evaluate import evaluate
from regard.api.export import Exported, export
from regard.api.fit import fit
from regard.api.heads import heads
from regard.api.load import load
from regard.api.pictures import look_at_image, look_at_sound
from regard.api.tasks.answers import Classification, Continuation, Summary, Translation
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Evaluation, Model
from regard.api.tasks.summarization import AbstractiveSummarizer, Summarizer
from regard.api.tasks.translation import Translator
from regard.api.train import train
from regard.models.summary import ModelSummary

__all__ = [
    "AbstractiveSummarizer",
    "Classification",
    "Classifier",
    "Continuation",
    "Evaluation",
    "Exported",
    "ExtractiveSummarizer",
    "Generator",
    "HeadComparison",
    "HeadReport",
    "HeadResult",
    "Model",
    "ModelComparison",
    "ModelSummary",
    "Summarizer",
    "Summary",
    "Translation",
    "Translator",
    "compare",
    "evaluate",
    "export",
    "fit",
    "heads",
    "load",
    "look_at_image",
    "look_at_sound",
    "train",
]
