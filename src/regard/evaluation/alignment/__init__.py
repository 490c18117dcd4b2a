"""Word alignment: links, alignment error rate, IBM Model 1, and links from cross-attention."""
