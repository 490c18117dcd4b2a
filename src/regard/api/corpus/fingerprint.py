"""Hash of a network, by which a saved state knows the model it is of."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

__all__ = ["hash_of_network"]


def hash_of_network(network: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of all parameters and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(memoryview(flat.view(torch.uint8).numpy()))
    return found.hexdigest()
