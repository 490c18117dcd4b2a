"""Plain data to pictures: one record of attention, shown in terminal, figure, page and notebook.

This room knows NumPy and its own files; no torch, no models.
"""

from regard.viewing.attention_record import AttentionRecord
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import MapSummary
from regard.viewing.data.tokens import Tokens
from regard.viewing.page.steps import save_steps

__all__ = ["AttentionRecord", "MapSummary", "Record", "Tokens", "Track", "save_steps"]
