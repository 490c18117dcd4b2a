"""Explanation of a classifier's answer: attention, n-grams and leaving words out, side by side.

Three questions to one text, which may get three answers. Attention says where the model looked. The n-gram
part of a model is linear, so its logits split exactly among the words. Leaving a word out and
classifying again measures what the answer would be without it (Li et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from regard.api.storage.verdict import Findings
from regard.cancel import check_cancelled
from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.evaluation.faithfulness.contracts import ExplainableClassifier
from regard.evaluation.faithfulness.erasure import erase_tokens
from regard.models import Classifier as Network
from regard.models import Output
from regard.viewing import Tokens
from regard.viewing.data.explanation import Attribution, Explanation

__all__ = ["LEAVE_OUT_TOKENS", "explain"]

LEAVE_OUT_TOKENS = 1 << 16
"""Tokens that are read again to measure leaving out: every word of a text of 256 tokens."""
_LEAVE_OUT_WEIGHTS = 1 << 28
"""Attention weights that are computed again, which of long texts take longer than all the rest."""
_LEAST_LEFT_OUT = 8
"""Words that are left out of any text, however long."""
_BATCH_TOKENS = 4096
"""Tokens that are read at once, so that the memory is that of one text."""

Floats = NDArray[np.float64]


def explain(
    network: Network,
    ids: Sequence[int],
    tokens: Tokens,
    output: Output,
    *,
    label: int,
    label_name: str,
    multilabel: bool,
    findings: Findings | None,
) -> Explanation:
    """Explain one label of one text by every method that the network allows.

    Args:
        network: the classifier.
        ids: of the text, as the network reads it.
        tokens: the same ids as text; their scores are merged to words.
        output: of the pass over these ids alone.
        label: index of the label to explain.
        label_name: its name.
        multilabel: whether a text may have any number of labels.
        findings: of `regard trust`, which decide what is in front; `None` if there are none.
    """
    adapter = adapt_classifier(network, multilabel=multilabel)
    starts = _word_starts(tokens)
    lengths = torch.tensor([len(ids)], device=output.logits.device)
    attention = network.token_attention(output.maps, lengths)[0].double().numpy(force=True)
    shares = np.add.reduceat(attention.mean(0), starts)
    found = [Attribution("attention", shares, False, "share of attention, the mean over heads")]
    ngrams = _ngrams(network, ids, label, multilabel=multilabel)
    if ngrams is not None:
        merged = np.add.reduceat(ngrams, starts)
        others = "" if multilabel else ", above the mean of the other labels"
        about = f"what the n-grams at this word add to the log-odds of “{label_name}”{others}"
        found.append(Attribution("n-grams", merged, True, about))
    words = [n for n, start in enumerate(starts) if not tokens.special[start]]
    candidates = _candidates(found, words, _room(output, len(ids)))
    probability, falls = _leave_out(adapter, ids, starts, candidates, label)
    about = f"by how much the log-odds of “{label_name}” fall when this word is left out"
    if len(candidates) < len(words):
        about += (
            f" (measured for the {len(candidates)} of {len(words)} words that count most otherwise)"
        )
    found.append(Attribution("leave-one-out", falls, True, about))
    front, reason = _front(findings, has_ngrams=ngrams is not None)
    found.sort(key=lambda scores: (scores.name != front, -_ORDER.index(scores.name)))
    return Explanation(tokens.merged(starts), label_name, probability, tuple(found), reason)


_ORDER = ("attention", "n-grams", "leave-one-out")


def _word_starts(tokens: Tokens) -> list[int]:
    """First piece of every word; a space that is a piece of its own goes with the word before it."""
    starts = tokens.word_starts()
    ends = [*starts[1:], len(tokens)]
    blank = [
        not "".join(tokens.pieces[start:end]).strip() and not tokens.special[start]
        for start, end in zip(starts, ends, strict=True)
    ]
    kept = [start for start, is_blank in zip(starts, blank, strict=True) if not is_blank]
    return [0, *kept[1:]] if kept else [0]


def _front(findings: Findings | None, *, has_ngrams: bool) -> tuple[str, str]:
    """Which scores are shown first, and why."""
    if findings is None:
        return "leave-one-out", (
            "In front is what was measured on this text: the answer without the word. Nobody has asked yet "
            "how faithful attention is; `regard trust` does."
        )
    if findings.level == "good":
        return "attention", "In front is attention: `regard trust` found it faithful."
    if has_ngrams and findings.gradient_beats_random:
        return "n-grams", (
            "In front are the n-grams: `regard trust` did not find attention faithful, and found gradient x "
            "input, which for n-grams is their contribution, to be so."
        )
    return "leave-one-out", (
        "In front is what was measured on this text, the answer without the word: `regard trust` did not "
        "find attention faithful."
    )


@torch.no_grad()
def _ngrams(network: Network, ids: Sequence[int], label: int, *, multilabel: bool) -> Floats | None:
    """Contribution of each token to the label's log-odds by the linear part, if there is one.

    With one label a text, only differences of logits count: that to the mean of the other labels.
    """
    device = next(network.parameters()).device
    batch = torch.tensor([list(ids)], device=device)
    lengths = torch.tensor([len(ids)], device=device)
    found = network.linear_contributions(batch, lengths)
    if found is None:
        return None
    by_label: Floats = found[0].double().numpy(force=True)
    own = by_label[:, label]
    if multilabel:
        return own
    return np.asarray(own - (by_label.sum(1) - own) / (by_label.shape[1] - 1))


def _room(output: Output, length: int) -> int:
    """How many words of a text may be left out, one at a time."""
    weights = sum(math.prod(m.shape) for maps in output.maps.values() for m in maps)
    room = min(LEAVE_OUT_TOKENS // max(1, length), _LEAVE_OUT_WEIGHTS // max(1, weights))
    return max(_LEAST_LEFT_OUT, room)


def _candidates(found: Sequence[Attribution], words: Sequence[int], room: int) -> list[int]:
    """Words to be left out: all, or of a long text those that the other methods point to.

    Args:
        found: scores by the other methods.
        words: indices of what is a word of the text, and no token of the model such as `[CLS]`.
        room: how many may be left out.
    """
    if len(words) <= room:
        return list(words)
    strongest = np.maximum.reduce([np.abs(scores.levels) for scores in found])[list(words)]
    return sorted(words[int(i)] for i in np.argsort(-strongest, kind="stable")[:room])


def _leave_out(
    adapter: ExplainableClassifier,
    ids: Sequence[int],
    starts: Sequence[int],
    words: Sequence[int],
    label: int,
) -> tuple[float, Floats]:
    """Probability of the label, and the fall of its log-odds without each word (NaN: not measured)."""
    ends = [*starts[1:], len(ids)]
    variants = [
        erase_tokens(ids, range(starts[w], ends[w]), method="delete", mask_id=adapter.mask_id)
        for w in words
    ]
    texts, size = [list(ids), *variants], max(1, _BATCH_TOKENS // max(1, len(ids)))
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    predicted = []
    for batch in batches:
        check_cancelled()
        predicted.append(adapter.predict(batch))
    probabilities = np.concatenate(predicted)
    odds = _log_odds(probabilities, label, multilabel=adapter.multilabel)
    falls = np.full(len(starts), np.nan)
    falls[list(words)] = odds[0] - odds[1:]
    return float(probabilities[0, label]), falls


def _log_odds(probabilities: Floats, label: int, *, multilabel: bool) -> Floats:
    """Log-odds of a label; of probabilities near 1, from those of the others, which keep their digits."""
    own = probabilities[:, label]
    other = 1 - own if multilabel else np.delete(probabilities, label, axis=1).sum(1)
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.log(np.maximum(own, tiny)) - np.log(np.maximum(other, tiny)))
