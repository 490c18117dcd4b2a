"""What a captioning model of transformers writes about an image, and what each word looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.errors import InputError, ModelFolderError
from regard.integrations.captured import MAPS
from regard.integrations.tokenizing import tokens
from regard.integrations.watching import watch
from regard.layers.eval_mode import eval_mode
from regard.viewing.data.tokens import Tokens

__all__ = ["Caption", "is_captioner", "write_caption"]

_LONGEST = 20
"""Tokens that are written where a folder names no number: the default of transformers."""


@dataclass(frozen=True)
class Caption:
    """A text about an image.

    Attributes:
        text: as it was written.
        words: of the text, without special tokens.
        weights: `(words, layers, heads, image tokens)`: cross-attention of the step that wrote each word, of
            a word of several tokens the mean of their steps.
        whole: whether the model ended the text itself.
    """

    text: str
    words: tuple[str, ...]
    weights: NDArray[np.float64]
    whole: bool


def is_captioner(model: Any) -> bool:
    """Whether a model is an encoder-decoder that reads an image and writes words."""
    import transformers

    return _is_blip(model) or isinstance(model, transformers.VisionEncoderDecoderModel)


def _is_blip(model: Any) -> bool:
    import transformers

    return isinstance(model, transformers.BlipForConditionalGeneration)


def write_caption(model: Any, tokenizer: Any, pixels: Tensor) -> Caption:
    """Let a captioning model write, then read its cross-attention in one pass over what it wrote.

    It writes as the generation settings of its folder say, and draws nothing at random.

    Args:
        model: a `VisionEncoderDecoderModel` or a `BlipForConditionalGeneration`.
        tokenizer: of what it writes.
        pixels: `(1, channels, height, width)`.

    Raises:
        ModelFolderError: the model does not say which token a text begins with.
        InputError: it wrote nothing, or its decoder does not attend to the image.
    """
    name, blip = type(model).__name__, _is_blip(model)
    # BLIP's decoder writes with settings of its own, and BLIP says where a text begins and ends.
    settings = (model.text_decoder if blip else model).generation_config
    end = model.config.text_config.sep_token_id if blip else settings.eos_token_id
    if not blip and settings.decoder_start_token_id is None and settings.bos_token_id is None:
        raise ModelFolderError(
            f"the {name} does not say which token a text begins with; set "
            "model.generation_config.decoder_start_token_id and save it again"
        )
    named = settings.max_length is not None or settings.max_new_tokens is not None
    length = {} if named else {"max_new_tokens": _LONGEST}
    read = "input_ids" if blip else "decoder_input_ids"
    with torch.no_grad(), eval_mode(model):
        ids = model.generate(pixels, do_sample=False, return_dict_in_generate=False, **length)[0]
        with watch(model, keep=MAPS) as seen:
            model(pixel_values=pixels, **{read: ids[None, :-1]})
    if "cross" not in seen.sites:
        raise InputError(f"the decoder of the {name} does not attend to the image")
    # Row `n` of the pass read token `n` and wrote the next.
    layers = [
        torch.as_tensor(layer.map[:, :, :])[0].double().numpy(force=True) for layer in seen["cross"]
    ]
    by_token = np.stack(layers).transpose(2, 0, 1, 3)
    spans = _spans(tokens(tokenizer, ids[1:].tolist()))
    if not spans:
        raise InputError(f"the {name} wrote no word about this image, so there is nothing to see")
    ends = end if isinstance(end, list) else [end]
    return Caption(
        tokenizer.decode(ids[1:], skip_special_tokens=True).strip(),
        tuple(word for word, _, _ in spans),
        np.stack([by_token[begin:end].mean(0) for _, begin, end in spans]),
        any(index in ends for index in ids[1:].tolist()),
    )


def _spans(pieces: Tokens) -> list[tuple[str, int, int]]:
    """Each word that is no special token, with where its pieces begin and end."""
    starts = pieces.word_starts()
    stops = [*starts[1:], len(pieces)]
    words = zip(pieces.words().pieces, starts, stops, strict=True)
    return [each for each in words if not pieces.special[each[1]]]
