"""Models that `save_pretrained` of transformers wrote, as networks and tokenizers of our tasks.

`folder` says what a folder holds and loads it; `hub` fetches folders; `vocabulary` and `tokenizer` put their
ids behind our four special ones; the other modules meet the contracts of `regard.models`.
"""
