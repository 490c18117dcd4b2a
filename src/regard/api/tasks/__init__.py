"""Models of each task, their answers, and what they attended to."""
