"""Masks by the shares of the paper, and a network that reads both sides."""

from __future__ import annotations

import torch

from regard.models import build, configure
from regard.models.masked_language_model import MaskedLanguageModel, mask_tokens
from regard.text import BOS, EOS, PAD, UNK

SIZE = 50


def test_shares_of_devlin_et_al() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, SIZE - 1, (400, 100), generator=generator)
    ids[:, 0], ids[:, -2], ids[:, -1], ids[:, 1] = BOS, EOS, PAD, UNK
    changed, chosen = mask_tokens(ids, SIZE - 1, generator=generator)
    words = ids >= 4
    assert not bool((chosen & ~words).any())
    assert torch.equal(changed[~chosen], ids[~chosen])
    assert abs(float(chosen[words].float().mean()) - 0.15) < 0.01
    masked = changed[chosen] == SIZE - 1
    kept = changed[chosen] == ids[chosen]
    assert abs(float(masked.float().mean()) - 0.8) < 0.02
    assert abs(float(kept.float().mean()) - (0.1 + 0.1 / (SIZE - 5))) < 0.02
    other = changed[chosen & (changed != ids) & (changed != SIZE - 1)]
    assert int(other.min()) == 4
    assert int(other.max()) == SIZE - 2


def test_a_batch_always_has_a_target() -> None:
    for seed in range(20):
        ids = torch.tensor([[BOS, 7, EOS]])
        _, chosen = mask_tokens(ids, 9, generator=torch.Generator().manual_seed(seed))
        assert chosen.tolist() == [[False, True, False]]
        unknown = torch.tensor([[BOS, UNK, UNK, EOS]])
        _, chosen = mask_tokens(unknown, 9, generator=torch.Generator().manual_seed(seed))
        assert int(chosen.sum()) >= 1


def test_logits_of_chosen_positions_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    network = build(configure("masked", "tiny", size=SIZE, embedding=16)).eval()
    assert isinstance(network, MaskedLanguageModel)
    ids = torch.randint(4, SIZE, (3, 6))
    ids[2, 4:] = PAD
    lengths = torch.tensor([6, 6, 4])
    chosen = torch.zeros(3, 6, dtype=torch.bool)
    chosen[0, 2] = chosen[2, 1] = True
    output = network(ids, lengths)
    torch.testing.assert_close(network.logits_at(ids, lengths, chosen), output.logits[chosen])
    changed = ids.clone()
    changed[0, 5] = 4 if ids[0, 5] != 4 else 5  # a word behind
    assert not torch.allclose(network(changed, lengths).logits[0, 2], output.logits[0, 2])
    changed[2, 5] = 9  # padding
    torch.testing.assert_close(network(changed, lengths).logits[2, :4], output.logits[2, :4])
