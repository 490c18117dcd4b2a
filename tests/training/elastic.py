"""A node of `test_distributed.py`: trains the toy, and may die as machines do, in the middle.

python -m torch.distributed.run ... elastic.py OUT [dies]
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import torch

from regard.training import Callback, Progress
from regard.training.checkpoint import RUN_FILE

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).parent / "toy.py")
assert _spec is not None
assert _spec.loader is not None
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


class Dies(Callback):
    """Ends the process and the agent that started it."""

    def on_step(self, progress: Progress) -> None:
        if progress.step == 11:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    torch.set_num_threads(1)
    callback = Dies() if "dies" in sys.argv else None
    out = Path(sys.argv[1])
    toy.run(out, resume=(out / RUN_FILE).exists(), dropout=0.0, callback=callback)
