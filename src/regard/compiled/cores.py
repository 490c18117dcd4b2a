"""Processor cores that this process may run on; standard library only, since it is asked before torch loads."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["physical_cores"]

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def physical_cores() -> int | None:
    """Number of physical cores this process may run on; `None` where the system does not say.

    Hardware threads of one core share its arithmetic units, so matrix products gain nothing from using
    both. Where the topology is hidden, every hardware thread counts as a core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    cores = set()
    for processor in allowed:
        try:
            siblings = Path(_TOPOLOGY.format(processor)).read_text().strip()
        except OSError:
            return len(allowed)
        cores.add(siblings)
    return len(cores)
