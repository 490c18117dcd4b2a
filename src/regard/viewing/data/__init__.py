"""Records of attention as plain NumPy data."""
