"""Records and training histories as matplotlib figures.

>>> import numpy as np
>>> from regard.viewing import AttentionRecord
>>> figure = draw(AttentionRecord.of(np.eye(2, dtype=np.float32), ["the", "cat"]))
"""

from regard.viewing.figure.drawing import draw, write
from regard.viewing.figure.history import plot_history
from regard.viewing.figure.runs import plot_runs

__all__ = ["draw", "plot_history", "plot_runs", "write"]
