"""A model's folder on disk: its files, its model card, its verdict."""
