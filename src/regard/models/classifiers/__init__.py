"""Classifiers: each reads a text into one vector that says what it attended to."""
