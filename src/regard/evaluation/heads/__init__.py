"""Attention heads over a corpus: arrays of weights in, numbers out."""
