"""Scores of predictions against references, and simple baselines."""
