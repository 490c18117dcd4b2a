"""Faithfulness: how far attention weights explain a model's predictions."""
