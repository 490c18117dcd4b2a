"""Classifiers: texts to labels, each with a view of what it attended to."""
