"""Batches to a trained model: one readable loop, its loss, schedule, checkpoints and history."""

from regard.training.callbacks import Progress, Watcher
from regard.training.checkpoint import load_weights, save_weights
from regard.training.distributed import Processes
from regard.training.history import History
from regard.training.interrupt import Interrupted
from regard.training.loop import fit
from regard.training.loss import Loss, smoothed_cross_entropy
from regard.training.ragged import Batch, Epoch, Ragged
from regard.training.schedule import rate
from regard.training.settings import TrainingSettings

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
