"""The exercises, a file for each lesson: templates, checks, and the misconceptions that the checks know."""
