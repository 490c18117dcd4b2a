"""`regard.check` for layers, models and functions: what is wrong, found by changing what goes in."""
