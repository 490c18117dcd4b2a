"""Faults of attention by name, and how to cure each."""

from __future__ import annotations

__all__ = ["CONSEQUENCES", "CURES"]

CURES: dict[str, str] = {
    "query-ignored": "compute the score from the query and the key, as (query * key).sum(-1) or "
    "v . tanh(W q + U k); a layer over the keys alone is pooling, and a sum of two linear terms without tanh "
    "cancels in the softmax",
    "key-ignored": "compute the score from the key as well; location-based attention (Luong et al. 2015) is "
    "meant so: ignore=('key-ignored',)",
    "value-ignored": "multiply the weights with the values and return that",
    "not-summed": "sum over the keys after weighting: (weights[..., None] * value).sum(-2), or weights @ value",
    "padding-attended": "set the scores of hidden keys to -inf before the softmax: "
    "scores.masked_fill(~mask, -inf), with the mask on the axis of the keys",
    "mask-ignored": "use the mask: scores.masked_fill(~mask[:, None, :], -inf) before the softmax",
    "mask-inverted": "turn the mask around in the layer, or in the call (~mask); if its True is meant to hide, "
    "as key_padding_mask of torch, say so: check(..., mask_hides=True)",
    "mask-added": "0 and 1 are added to scores, which hides nothing: scores.masked_fill(~mask, -inf), or add "
    "0 and -inf",
    "mask-too-weak": "use -inf, or torch.finfo(scores.dtype).min: a small number is overcome by other scores",
    "mask-after-softmax": "mask the scores before the softmax; weights that are set to 0 afterwards leave rows "
    "that do not sum to 1",
    "mask-on-queries": "put the mask on the axis of the keys: mask[:, None, :] for scores (batch, queries, "
    "keys), mask[:, None, None, :] with heads",
    "mask-transposed": "mask[query, key] with the keys last: torch.ones(n, n).tril() lets a position see "
    "itself and what is before it",
    "mask-overflow": "-1e9 does not exist in float16, whose numbers end at 65504: use -inf or "
    "torch.finfo(scores.dtype).min",
    "future-attended": "mask the scores with torch.ones(n, n, dtype=torch.bool).tril() (True = may attend) "
    "before the softmax; is_causal=True in scaled_dot_product_attention; and no other layer may look ahead (a "
    "bidirectional RNN, a centred convolution, a mean over the sequence)",
    "causal-transposed": "use tril, not triu: row t is the query, and it may see the columns up to t",
    "target-not-shifted": "feed target[:, :-1], compare with target[:, 1:]: the position that predicts a word "
    "must not get it",
    "softmax-wrong-axis": "softmax over the keys: the last axis of scores (batch, heads, queries, keys); "
    "name it, as in softmax(dim=-1)",
    "weights-always-1": "a softmax over an axis of length 1 gives 1: squeeze(-1) the scores (batch, keys, 1) "
    "first, or softmax(dim=1)",
    "heads-and-length-swapped": "split with view(batch, length, heads, width).transpose(1, 2), and join with "
    "transpose(1, 2).reshape(batch, length, heads * width); view alone mixes positions",
    "rows-not-1": "normalise each row over the keys, after the mask; sigmoid attention and sinks are meant "
    "so: ignore=('rows-not-1',)",
    "nan-when-all-masked": "a row of -inf alone has no softmax: replace its weights by 0 "
    "(torch.nan_to_num, or torch.where before the softmax for finite gradients); regard.attend gives zeros",
    "batch-dependent": "each example must be computed alone: look for softmax(dim=0), batch_first, a mean or a "
    "normalisation over the batch",
    "depends-on-padding": "padding goes past the attention: mask it also in means over the sequence, "
    "lengths of "
    "recurrent layers, and positions",
    "dropout-in-weights": "keep the weights before dropout for looking at, and use the dropped ones for the "
    "product alone",
    "random-in-eval": "pass training=self.training to F.dropout, or use nn.Dropout, which eval() switches off",
    "scale-missing": "divide the scores by sqrt(width of a head); Luong's dot score has none, and is meant for "
    "short vectors: ignore=('scale-missing',)",
    "input-changed": "compute new tensors: masked_fill instead of masked_fill_, x = x * y instead of x *= y",
    "no-gradient": "look for detach(), no_grad, argmax, .data and conversions to NumPy on the way",
    "wrong-layer": "use the last layer of the state: hidden[-1] (in torch the first axis of a GRU's or LSTM's "
    "state is layers times directions)",
}
"""Advice for each fault."""

_OF_MASKS = (
    "padding-attended",
    "mask-ignored",
    "mask-inverted",
    "mask-added",
    "mask-on-queries",
    "mask-too-weak",
    "mask-after-softmax",
    "depends-on-padding",
)
CONSEQUENCES: dict[str, tuple[str, ...]] = {
    "weights-always-1": ("query-ignored", "key-ignored", *_OF_MASKS),
    "softmax-wrong-axis": ("batch-dependent", "rows-not-1", "query-ignored", *_OF_MASKS),
    "heads-and-length-swapped": ("batch-dependent", "rows-not-1", *_OF_MASKS),
    "mask-inverted": ("query-ignored", "key-ignored", "value-ignored", "rows-not-1"),
    "mask-after-softmax": ("padding-attended",),
    "random-in-eval": ("batch-dependent", "depends-on-padding", "dropout-in-weights"),
    "batch-dependent": ("depends-on-padding",),
    "not-summed": ("value-ignored", "rows-not-1", "batch-dependent", *_OF_MASKS),
    "no-gradient": (),
}
"""What each fault brings with it: not told beside it, since it may be gone when the fault is."""
