"""Predictions and references to metrics, baselines and verdicts."""
