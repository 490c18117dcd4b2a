"""Plain data to pictures: one record of attention, shown in terminal, figure, page and notebook.

This room knows NumPy and its own files; no torch, no models.
"""

from regard.viewing.record import AttentionRecord, Track
from regard.viewing.summary import Summary
from regard.viewing.tokens import Tokens

__all__ = ["AttentionRecord", "Summary", "Tokens", "Track"]
