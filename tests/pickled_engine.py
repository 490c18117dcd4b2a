"""An engine of one worker in this process, to which everything goes pickled, as to a worker elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from regard.engines import Done, Work
from regard.engines.worker import Failure, Worker


class PickledEngine:
    """An engine whose shards are counted.

    Args:
        sees_files: whether workers see the files of this process.
    """

    def __init__(self, *, sees_files: bool = True) -> None:
        self.shards = 0
        self._sees_files = sees_files

    def run(
        self, make_work: Callable[[bool], Work[Any, Any]], shards: Iterable[Any]
    ) -> Iterator[Any]:
        """Results in order."""
        worker = Worker(pickle.dumps(make_work(not self._sees_files)))
        for shard in shards:
            if isinstance(shard, Done):
                yield shard.result
                continue
            self.shards += 1
            result = pickle.loads(pickle.dumps(worker.do(pickle.loads(pickle.dumps(shard)))))
            if isinstance(result, Failure):
                result.reraise()
            yield result
