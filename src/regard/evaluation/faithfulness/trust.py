"""Examination of a classifier: how far its attention weights explain its predictions.

Attention that looks convincing need not be the reason for a prediction (Jain and Wallace 2019;
Wiegreffe and Pinter 2019; Serrano and Smith 2019). `trust` measures it on texts and returns a
`Verdict`. Every measurement is taken for attention, for gradient x input and for random tokens:

* **Comprehensiveness** (DeYoung et al. 2020, ERASER): p(y | x) - p(y | x without its top tokens),
  with y the predicted class, or the likeliest of several labels; mean over several numbers of
  tokens. High is good: the tokens that attention points to were needed.
* **Sufficiency**: p(y | x) - p(y | only the top tokens). Low is good: these tokens are enough. Both
  are measured with deleted and with masked tokens, separately.
* **Rank agreement**: Kendall's tau between a score and the effect of leaving out each token.
* **Controls**: the weights shuffled, or made uniform. If the prediction stays the same, it did not
  depend on the weights.
* **Decision flips**: how often zeroing the highest weight flips the decision, against zeroing a
  random one; and the fraction of weights that must be removed, highest first, until it flips.
* **Special tokens and sinks**: attention on tokens without content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from regard.evaluation.faithfulness.attention_mass import attention_mass
from regard.evaluation.faithfulness.contracts import (
    ExplainableClassifier,
    Ids,
    ReweightableClassifier,
    TrustSettings,
)
from regard.evaluation.faithfulness.erasure import (
    ERASURE_METHODS,
    erasure_scores,
    leave_one_out_agreement,
)
from regard.evaluation.faithfulness.instances import Instance, make_instances
from regard.evaluation.faithfulness.interventions import decision_flips, weight_controls
from regard.evaluation.faithfulness.verdict import Verdict, judge

__all__ = ["examine", "trust"]


def trust(
    model: ExplainableClassifier,
    texts: Sequence[Ids],
    *,
    settings: TrustSettings | None = None,
    id_to_token: Callable[[int], str] = str,
) -> Verdict:
    """Measure, on these texts, how far a classifier's attention explains its predictions.

    Where a text may have several labels, its likeliest label is examined; texts that are given no
    label are left out.

    Args:
        model: the classifier; `adapt_classifier` wraps one of `regard`. The effect of shuffled,
            uniform and zeroed weights is measured only for a `ReweightableClassifier`.
        texts: token ids of each text. A few hundred texts give intervals narrow enough to decide.
            Gold labels are not needed: the prediction is explained, whether right or wrong.
        settings: sample sizes, thresholds and seed.
        id_to_token: the readable form of a token id, for the name of the sink.

    Raises:
        InputError: no text has an ordinary token, or none is given a label.
    """
    settings = settings or TrustSettings()
    return examine(model, make_instances(model, texts), settings=settings, id_to_token=id_to_token)


def examine(
    model: ExplainableClassifier,
    instances: Sequence[Instance],
    *,
    settings: TrustSettings,
    id_to_token: Callable[[int], str],
) -> Verdict:
    """Take every measurement on prepared instances; `trust` prepares them from texts."""
    # One generator serves all measurements, so their order is part of the result.
    rng = np.random.default_rng(settings.seed)
    erasures = erasure_scores(model, instances, settings, rng)
    agreement = leave_one_out_agreement(model, instances, settings, rng)
    controls = flips = None
    if isinstance(model, ReweightableClassifier):
        controls = weight_controls(model, instances, settings, rng)
        flips = decision_flips(model, instances, settings, rng)
    mass = attention_mass(model, instances, id_to_token)
    level, sentence = judge(erasures, controls, mass, len(instances), settings)
    return Verdict(
        level,
        sentence,
        len(instances),
        {method: erasures["comprehensiveness", method] for method in ERASURE_METHODS},
        {method: erasures["sufficiency", method] for method in ERASURE_METHODS},
        agreement,
        mass,
        controls,
        flips,
    )
