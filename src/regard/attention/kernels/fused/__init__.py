"""Output and statistics of attention in one pass over tiles."""
