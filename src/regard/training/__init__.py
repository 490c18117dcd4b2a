"""Batches to a trained model: one readable loop, its loss, schedule, checkpoints and history."""

from regard.training.batches import Batch, Epoch, Ragged
from regard.training.checkpoint import load_weights, save_weights
from regard.training.history import History
from regard.training.interrupt import Interrupted
from regard.training.loop import fit
from regard.training.loss import Loss, smoothed_cross_entropy
from regard.training.processes import Processes
from regard.training.schedule import rate
from regard.training.settings import TrainingSettings
from regard.training.watching import Progress, Watcher

__all__ = [
    "Batch",
    "Epoch",
    "History",
    "Interrupted",
    "Loss",
    "Processes",
    "Progress",
    "Ragged",
    "TrainingSettings",
    "Watcher",
    "fit",
    "load_weights",
    "rate",
    "save_weights",
    "smoothed_cross_entropy",
]
