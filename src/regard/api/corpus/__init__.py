"""Many texts through a model, a few at a time: what `regard heads` and `regard compare` share."""
