"""Attention over a sequence that lies in several processes, longer than one machine can hold.

Queries, keys and values are sharded along the length over a group of `torch.distributed`, and the keys go
round the ring of processes (Liu, Zaharia and Abbeel 2023). Outputs, gradients and every answer of the map
are those of one process.

>>> import torch
>>> from regard.distributed import Shards
>>> Shards.zigzag(16, 2).ranges
((range(0, 4), range(12, 16)), (range(4, 8), range(8, 12)))
"""

from regard.distributed.attend import attend
from regard.distributed.map import ShardedAttentionMap
from regard.distributed.ring import gather
from regard.distributed.shards import Shards

__all__ = ["ShardedAttentionMap", "Shards", "attend", "gather"]
