"""Networks in formats of other runtimes."""
