"""Every threshold of the kernels, and the measurement or the fact behind it.

Read at each call as `limits.NAME`, so that a test may set another value; the last section is
compiled into machine code and fixed from then on. Errors are the largest differences from float64.
The docs and `docs/log.md` ("The one-pass kernel") hold the longer tables.
"""

from __future__ import annotations

__all__ = [
    "CACHE_LINE_BYTES",
    "CUDA_BACKWARD_BYTES",
    "CUDA_MAX_FEATURES",
    "CUDA_MAX_TOPK",
    "CUDA_MIN_CAPABILITY",
    "CUDA_MIN_LOG_WEIGHT",
    "CUDA_MIN_TRITON",
    "DECODE_MAX_QUERIES",
    "DECODE_MIN_EXAMPLES",
    "DECODE_MIN_ROWS",
    "ENOUGH_TASKS",
    "FEW_TASKS",
    "FLASH_BIAS_BYTES",
    "FLASH_BLOCK_QUERIES",
    "FLASH_LARGEST_BIAS",
    "FLASH_MAX_SCORE_FLOAT32",
    "FLASH_MAX_SCORE_FLOAT64",
    "FLASH_MIN_KEYS_BFLOAT16",
    "FLASH_MIN_KEYS_NAN",
    "FLASH_MIN_WEIGHTS_FLOAT32",
    "FLUSH_ROWS",
    "FUSED_MASK_BYTES",
    "FUSED_MAX_SCORE_FLOAT32",
    "FUSED_MAX_TOPK",
    "FUSED_MIN_KEY_BLOCK",
    "FUSED_MIN_WEIGHTS",
    "MASKED_TILE_QUERIES",
    "MAX_CHUNK_KEYS",
    "MAX_KEY_RANGES",
    "MAX_PART_QUERIES",
    "ROW_PASS_MIN_WEIGHTS",
    "ROW_PASS_WEIGHTS",
    "STRIP_ROWS",
    "TILE_KEYS",
    "TILE_QUERIES",
]

# Which path answers

FUSED_MIN_WEIGHTS = 2**17
"""Weights of the whole matrix, over batch and heads, from which the fused kernel is used.

At 120,000 to 200,000 weights (rows of 24 to 128 keys) an entropy takes as long as by tiles, and brings all else
along; training with dropout takes 0.5 to 0.9 of the time by tiles. Below, the first call need not wait seconds
for a compilation.
"""

FUSED_MAX_TOPK = 64
"""Longest list of largest weights that the fused kernel keeps: an insertion shifts the whole list, so
that sorting whole rows is faster for longer ones."""

FUSED_MIN_KEY_BLOCK = 8
"""Fewest keys of a pooled block in the fused kernel, which keeps a sum and a maximum for every block
of every row: narrower blocks would take as much memory as a part of the matrix itself. Where a tile holds all
keys (`partition.has_whole_rows`), columns are summed instead, and blocks may have any width."""

FUSED_MASK_BYTES = 2**24
"""Memory of a mask or bias that cannot be written as ranges and is made for some rows at a time."""

FUSED_MAX_SCORE_FLOAT32 = 32.0
"""Bound on the scores up to which a map's later statistics come from the fused kernel in float32.

Guards the rounding of the scores themselves: a float32 score near `s` is off by up to `s * 2**-24`, and a
weight, relative to its size, by as much: 2e-6 at 32. Measured with 1,024 keys that attend to themselves:
top-k and received mass (per unit) are within 1e-6 at 32 and 2e-6 at 64; the entropy, a sum of a thousand
terms, is within 6e-6 at every bound from 8 to 64. So is dense float32 attention (`test_map_accuracy.py`).
"""

FLASH_MAX_SCORE_FLOAT32 = 16.0
"""Bound on the scores up to which `P^T g` is read from torch's flash kernel in float32.

Its errors are 1.1 to 1.4 times those of dense float32 attention there (root mean square, bounds of 4 to 16).
Entropy and received mass are read in float64 at every bound: in float32 their errors were up to 3 times
those of dense attention, as `lse - scale * q . (P k)` is a small difference of two numbers as large as the
scores, and `exp(lse)` rounds a logarithm.
"""

FLASH_MAX_SCORE_FLOAT64 = 2.0**24
"""Bound on the scores up to which entropy, received mass and `P^T g` are read from torch's flash kernel at all:
an `lse` of that size is off by 2e-9 in float64. At 1e16 the received mass was infinite."""

FLASH_LARGEST_BIAS = 2.0**14
"""Size of the largest bias of a row beyond which torch's flash kernel is not trained through.

Its backward pass reads the `lse` in float32 (in float64 for float64), off by 1e-3 there. In a row of -1e9 it
took each of 400 weights for 1.
"""

FLASH_MIN_WEIGHTS_FLOAT32 = 2**18
"""Weights of the whole matrix below which `P^T g` is read from the flash kernel in float64, which costs
nothing noticeable at that size."""

FLASH_BIAS_BYTES = 2**24
"""Memory of the bias or mask that one call of the flash kernel is given."""

FLASH_BLOCK_QUERIES = 256
"""Queries of one call where a mask cuts the matrix: enough for the kernel's full speed, few enough to
skip the keys that none of them sees."""

FLASH_MIN_KEYS_NAN = 16
"""Keys below which torch's flash kernel (2.13, processor) returns zeros for a row whose scores are all NaN:
it takes such a row for a masked one where the keys do not fill a vector."""

FLASH_MIN_KEYS_BFLOAT16 = 256
"""Keys below which bfloat16 is trained in float32 on a processor: the kernel's bfloat16 backward pass pads
sequences to blocks and takes five times as long at 16 to 64 keys, as long at 256 (torch 2.13, AMX)."""

DECODE_MAX_QUERIES = 16
"""Queries of one row, at most, for the kernel of a decoding step, which reads a row's keys for each."""

DECODE_MIN_EXAMPLES = 4
"""Examples of a batch from which on a whole decoding step is compiled: with fewer, loading Numba costs more."""

DECODE_MIN_ROWS = 32
"""Queries of all rows, at least, for the kernel of a decoding step; below, `attend` is as fast."""

# NVIDIA GPUs

CUDA_MIN_CAPABILITY = 8, 0
"""Ampere, the first compute capability that multiplies bfloat16."""

CUDA_MIN_TRITON = 3, 6
"""Version of Triton from which the kernels compile."""

CUDA_MAX_FEATURES = 256
"""Features of a query or value up to which a tile fits into the shared memory of a multiprocessor: 99 KB on
the smallest supported one (`tests/attention/kernels/cuda` compile the kernels and look)."""

CUDA_MAX_TOPK = 32
"""Longest list of largest weights: a list is in registers, four times."""

CUDA_MIN_LOG_WEIGHT = -128.0
"""Smallest logarithm of a weight in the backward pass: its `exp` is 0 in float32, and unlike -inf it may be
multiplied by that 0."""

CUDA_BACKWARD_BYTES = 2**26
"""Memory of the rows of the matrix that the backward pass holds at a time."""

# Statistics of one's own by rows

ROW_PASS_MIN_WEIGHTS = 2**22
"""Weights of the whole matrix from which a statistic's function of rows is compiled: a second, in which array
operations see some hundred times as many weights."""

ROW_PASS_WEIGHTS = 2**18
"""Weights of a worker at a time, between 8 and 64 rows: a megabyte of scores and one of weights."""

# Tiles of the fused kernel on a processor

TILE_QUERIES = 512
"""Queries of a tile, at most. With 512 keys a megabyte of float32 scores, half of a level-2 cache. Time over
SDPA's is 1.21 to 1.32; 256 x 512 takes 1.25 to 1.39, 256 x 1024 1.32 to 1.36, 512 x 1024 1.33 to 1.42."""

MASKED_TILE_QUERIES = 256
"""Queries of a tile where a mask excludes part of the matrix: tiles on its edge are computed in full, so
that smaller ones waste less."""

TILE_KEYS = 512
"""Keys of a tile, at most; see `TILE_QUERIES`."""

ENOUGH_TASKS = 32
"""Tasks of a backward pass from which on keys are not split further: the number may not depend on that of
threads, or the bits of gradients would."""

FEW_TASKS = 8
"""Tasks below which ranges of half a tile of keys are made: they take 5 to 7 % longer on one thread, ranges of
whole tiles take no longer than one range (1,024 to 4,096 positions, 1 and 8 heads of 64)."""

MAX_KEY_RANGES = 8
"""Ranges of keys of a head, at most: each has a gradient of all its queries."""

MAX_CHUNK_KEYS = 128
"""Keys of a chunk, at most: a row keeps one maximum and one sum per chunk, for pooled blocks and to skip chunks
in the search for the largest. Shorter ones cost memory, longer ones skip less."""

MAX_PART_QUERIES = 256
"""Queries of one part of a pooled block, at most, so that a tile of queries can hold whole parts."""

CACHE_LINE_BYTES = 64
"""Alignment of tiles. NumPy's memory begins 16 bytes into a line, and vectors that lie across two lines cost a
tenth of all time."""

# Compiled into machine code

STRIP_ROWS = 8
"""Rows of a tile that pass through all elementwise steps together: as many as a level-1 cache holds."""

FLUSH_ROWS = 8
"""Rows whose weights are summed in float32 before the sum goes to float64. Received mass summed in float32 over
256 rows was off by 6e-6, over 8 rows by 7e-7."""
