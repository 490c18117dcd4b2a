"""The version of regard, here and nowhere else: `pyproject.toml` and the model folders read it."""

__version__ = "0.1.0"

__all__ = ["__version__"]
