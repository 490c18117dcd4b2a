"""One script per claim: `python -m benchmarks` runs those of speed, each prints ratios of one run."""
