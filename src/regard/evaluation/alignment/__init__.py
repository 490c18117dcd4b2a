"""Word alignment: links, their error rate, and links from cross-attention."""
