"""Training of models: one readable loop with its loss, schedule, checkpoints and history."""

from regard.training.batch import Batch, Epoch
from regard.training.callbacks import Callback, Callbacks, Progress
from regard.training.checkpoint import load_weights, save_weights
from regard.training.distributed import ProcessGroup
from regard.training.history import History
from regard.training.interrupt import Interrupted
from regard.training.loop import fit
from regard.training.loss import Loss, cross_entropy_loss, smoothed_cross_entropy
from regard.training.ranking import Ranking
from regard.training.schedule import learning_rate
from regard.training.settings import TrainingSettings

__all__ = [
    "Batch",
    "Callback",
    "Callbacks",
    "Epoch",
    "History",
    "Interrupted",
    "Loss",
    "ProcessGroup",
    "Progress",
    "Ranking",
    "TrainingSettings",
    "cross_entropy_loss",
    "fit",
    "learning_rate",
    "load_weights",
    "save_weights",
    "smoothed_cross_entropy",
]
