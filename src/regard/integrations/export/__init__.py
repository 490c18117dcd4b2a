"""Our networks in formats of other runtimes."""
