"""Metrics with bootstrap intervals, and baselines."""
