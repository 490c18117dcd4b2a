"""How far attention explains a model's answers."""
