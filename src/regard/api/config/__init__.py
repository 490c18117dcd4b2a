"""Settings of a run: presets of each task, and what a user may change."""
