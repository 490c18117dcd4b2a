"""Records and training histories as matplotlib figures."""
