"""Messages between the processes of a group: a ring, and three collective operations.

Every wait has a time-out, and every failure (a process that ended, one that does not answer) becomes a
`ProcessGroupError` that says who waited for what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor

from regard.distributed.shards import Shards
from regard.errors import InputError, ProcessGroupError, RegardError

__all__ = ["Pending", "Ring", "gather"]

Tensors = tuple[Tensor, ...]
"""Tensors `(batch, heads, positions, ...)`; messages differ in their number of positions alone."""

REFUSED = -1
"""In place of its numbers: this process has refused its arguments."""


@dataclass(frozen=True)
class Pending:
    """Tensors on their way.

    Attributes:
        wait: returns the tensors that came in, once they have.
    """

    wait: Callable[[], Tensors]


@dataclass(frozen=True)
class Ring:
    """The processes of a group in a ring: each sends to the next and receives from the one before.

    Attributes:
        rank: index of this process in the group.
        size: number of processes.
        group: of `torch.distributed`; `None` for all processes.
        timeout: the longest wait for a message; `None` for the group's own time-out.
    """

    rank: int
    size: int
    group: Any = None
    timeout: timedelta | None = None

    @classmethod
    def of(cls, group: Any = None, timeout: float | None = None) -> Self:
        """The ring of a process group.

        Args:
            group: `None` for all processes.
            timeout: seconds of the longest wait for a message; the group's own time-out unless given.

        Raises:
            InputError: no process group was started; this process is none of the group's; a time-out of
                0 or less.
        """
        if not (dist.is_available() and dist.is_initialized()):
            raise InputError(
                "no process group was started; call torch.distributed.init_process_group first, and start the "
                "program by torchrun"
            )
        if timeout is not None and not timeout > 0:
            raise InputError(f"timeout is {timeout}; expected seconds above 0")
        rank = dist.get_rank(group)
        if rank < 0:
            raise InputError(
                "this process is not in the group; call it in the group's processes only"
            )
        limit = None if timeout is None else timedelta(seconds=timeout)
        return cls(rank, dist.get_world_size(group), group, limit)

    # Along the ring

    def visit(self, tensors: Tensors, lengths: Sequence[int]) -> Iterator[tuple[int, Tensors]]:
        """The tensors of every process in turn, this one's first: pairs of a rank and its tensors.

        The next tensors travel while the caller works with these.

        Args:
            tensors: of this process.
            lengths: positions of the tensors of each process.
        """
        for step in range(self.size):
            owner = (self.rank - step) % self.size
            pending = None
            if step < self.size - 1:
                pending = self.exchange(tensors, lengths[owner - 1])
            yield owner, tensors
            if pending is not None:
                tensors = pending.wait()

    def accumulate(
        self,
        tensors: Tensors,
        lengths: Sequence[int],
        contribute: Callable[[int, Tensors], Tensors],
        merge: Callable[[Tensors, Tensors], Tensors],
    ) -> Tensors:
        """What all processes contribute to the tensors of each, merged, which comes home to its process.

        Args:
            tensors: of this process.
            lengths: positions of the tensors of each process.
            contribute: tensors that this process adds to those of another, given its rank and its tensors.
            merge: one contribution from two.

        Returns:
            What every process contributed to this one.
        """
        pending = None
        for owner, visitors in self.visit(tensors, lengths):
            # Contributions follow their tensors one step behind, so that they too travel while this process
            # computes.
            merged = contribute(owner, visitors)
            if pending is not None:
                merged = merge(pending.wait(), merged)
            pending = self.exchange(merged, lengths[owner - 1])
        assert pending is not None
        return pending.wait()

    def exchange(self, tensors: Tensors, length: int) -> Pending:
        """Send tensors to the next process, and receive those of the one before.

        Args:
            tensors: to send.
            length: positions of what comes.
        """
        if self.size == 1:
            return Pending(lambda: tensors)
        after, before = (self.rank + 1) % self.size, (self.rank - 1) % self.size
        sent = [x.contiguous() for x in tensors]
        received = tuple(x.new_empty((*x.shape[:2], length, *x.shape[3:])) for x in sent)
        # Where an axis is 0 there is no message: both sides know the shapes.
        operations = [
            dist.P2POp(dist.isend, x, group=self.group, group_peer=after) for x in sent if x.numel()
        ] + [
            dist.P2POp(dist.irecv, x, group=self.group, group_peer=before)
            for x in received
            if x.numel()
        ]
        action = f"to send to process {after} and receive from process {before}"
        with self._naming(action):
            works = dist.batch_isend_irecv(operations) if operations else []

        def wait() -> Tensors:
            self._wait(works, action)
            sent.clear()  # kept until they were sent
            return received

        return Pending(wait)

    # Of all processes

    def agree(self, describe: Callable[[], Sequence[int]], count: int) -> list[list[int]]:
        """The numbers of every process; an error of one process is an error of all.

        Args:
            describe: makes the numbers of this process, or raises.
            count: of the numbers.

        Raises:
            RegardError: what `describe` raised.
            ProcessGroupError: another process refused its arguments, or has ended.
        """
        failure, numbers = None, [REFUSED] * count
        try:
            numbers = list(describe())
        except RegardError as error:
            failure = error
        found = self.all_gather(numbers)
        if failure is not None:
            raise failure
        for rank, others in enumerate(found):
            if others[0] == REFUSED:
                raise ProcessGroupError(
                    f"process {rank} of {self.size} refused its arguments; its own error says why"
                )
        return found

    def all_gather(self, numbers: Sequence[int]) -> list[list[int]]:
        """As many integers of every process, in the order of the processes."""
        if self.size == 1:
            return [list(numbers)]
        own = torch.tensor(numbers, dtype=torch.int64, device=self._device)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        self._run("to hear from every process", dist.all_gather, parts, own)
        return [part.tolist() for part in parts]

    def all_reduce(self, x: Tensor, operation: Any) -> Tensor:
        """The sum or the maximum over all processes, in place."""
        if self.size > 1:
            self._run("to add up over every process", dist.all_reduce, x, op=operation)
        return x

    def gather(self, x: Tensor, shapes: Sequence[tuple[int, ...]], to: int | None) -> list[Tensor]:
        """The tensors of all processes, on one process or (`None`) on each; an empty list elsewhere.

        Args:
            x: of this process.
            shapes: of the tensor of each process.
            to: rank of the process.
        """
        x = x.detach().contiguous()
        receivers = range(self.size) if to is None else (to,)
        operations, found = [], []
        if self.rank in receivers:
            found = [
                x if rank == self.rank else x.new_empty(shapes[rank]) for rank in range(self.size)
            ]
            operations += [
                dist.P2POp(dist.irecv, part, group=self.group, group_peer=rank)
                for rank, part in enumerate(found)
                if rank != self.rank and part.numel()
            ]
        operations += [
            dist.P2POp(dist.isend, x, group=self.group, group_peer=rank)
            for rank in receivers
            if rank != self.rank and x.numel()
        ]
        action = "to gather from every process"
        with self._naming(action):
            works = dist.batch_isend_irecv(operations) if operations else []
        self._wait(works, action)
        return found

    @property
    def _device(self) -> torch.device:
        """Where small tensors of messages live: NCCL sends from a GPU only."""
        on_gpu = dist.get_backend(self.group) == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def _run(self, action: str, collective: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        with self._naming(action):
            work = collective(*args, group=self.group, async_op=True, **kwargs)
        self._wait([work], action)

    def _wait(self, works: Sequence[Any], action: str) -> None:
        with self._naming(action):
            for work in works:
                _ = work.wait() if self.timeout is None else work.wait(self.timeout)

    @contextmanager
    def _naming(self, action: str) -> Iterator[None]:
        """Errors of torch as `ProcessGroupError`, with who waited for what."""
        try:
            yield
        except RuntimeError as error:
            limit = "" if self.timeout is None else f" within {self.timeout.total_seconds():g} s"
            # gloo goes on with advice.
            reason = str(error).strip().partition("\n")[0].partition(". ")[0]
            raise ProcessGroupError(
                f"process {self.rank} of {self.size} was not able {action}{limit}: a process of the group has "
                "ended, is stuck, or asks another question; look at the output of each, start all of them "
                f"again, and have all ask the same questions in one order ({reason})"
            ) from error


def gather(
    x: Tensor,
    shards: Shards,
    *,
    axis: int = -2,
    to: int | None = None,
    group: Any = None,
    timeout: float | None = None,
) -> Tensor | None:
    """The whole of a tensor that lies in shards; every process of the group must call it.

    Args:
        x: the shard of this process.
        shards: where the positions are.
        axis: of the positions: -2 for outputs, -1 for an entropy or received mass.
        to: rank of the process that gets it; every process unless given.
        group: of `torch.distributed`; all processes unless given.
        timeout: seconds of the longest wait for a message; the group's own time-out unless given.

    Returns:
        The whole sequence, without gradients; `None` on the other processes.

    Raises:
        InputError: no process group, or shards of another number of processes.
        ShapeError: a shard of another length.
        ProcessGroupError: a process has ended or does not answer.
    """
    ring = Ring.of(group, timeout)
    check_processes(shards, ring)
    axis %= x.ndim

    def described() -> Sequence[int]:
        if x.shape[axis] != shards.lengths[ring.rank]:
            raise InputError(
                f"x has {x.shape[axis]} positions along axis {axis}; the shard of process {ring.rank} has "
                f"{shards.lengths[ring.rank]}"
            )
        return [x.shape[axis]]

    ring.agree(described, 1)
    shapes = [(*x.shape[:axis], length, *x.shape[axis + 1 :]) for length in shards.lengths]
    parts = ring.gather(x, shapes, to)
    return shards.join(parts, axis=axis) if parts else None


def check_processes(shards: Shards, ring: Ring) -> None:
    """Raise an `InputError` for shards of another number of processes than the ring's."""
    if shards.processes != ring.size:
        raise InputError(
            f"the shards are of {shards.processes} processes, the group has {ring.size}; make them for the "
            "group, as in Shards.even(length, torch.distributed.get_world_size())"
        )
