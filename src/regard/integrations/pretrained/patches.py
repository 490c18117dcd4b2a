"""Attention of vision models of transformers over the patches of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.errors import DataError, InputError, ModelFolderError
from regard.integrations.captured import MAPS
from regard.integrations.pretrained.captions import Caption, is_captioner, write_caption
from regard.integrations.pretrained.folder import load_model
from regard.integrations.watching import watch
from regard.layers.eval_mode import eval_mode
from regard.viewing.data.picture import WordAttention
from regard.viewing.media import ImageRecord

__all__ = ["look_at_image", "patch_positions", "processor_of"]


def look_at_image(folder: Path, path: Path) -> ImageRecord:
    """Attention of a vision model over an image: of its class token, or the mean of all patches.

    Of a model that writes a caption: the cross-attention of the step that wrote each word.

    The image is what the folder's own processor makes of it. Which token a patch is, is found by changing
    patches one by one, not taken for granted.

    Args:
        folder: of a ViT, DeiT, BEiT, DINOv2, or of a CLIP-like model, whose vision tower is run; or of a
            captioning `VisionEncoderDecoderModel` or BLIP with its tokenizer.
        path: a PNG, JPEG or anything else that Pillow reads.

    Raises:
        ModelFolderError: another model, or one without a processor.
        DataError: no image.
        InputError: attention that does not see all patches at once (windows), or patches that overlap.
    """
    model = load_model(folder)
    captions = is_captioner(model)
    own = model.encoder if captions and hasattr(model, "encoder") else model
    tower = getattr(model, "vision_model", own)
    if getattr(tower, "main_input_name", "pixel_values") != "pixel_values":
        raise ModelFolderError(
            f"{folder} holds a {type(model).__name__}, which reads {tower.main_input_name}, no image"
        )
    processor = processor_of(folder, "AutoImageProcessor")
    pixels = processor(_open(path), return_tensors="pt")["pixel_values"]
    config = getattr(tower.config, "vision_config", tower.config)
    first, grid = patch_positions(tower, config, pixels, type(model).__name__)
    image = _as_seen(pixels[0], processor)
    with _opened(path) as original:
        size = f"{original.width} x {original.height}"
    note = f"The model reads {image.shape[1]} x {image.shape[0]} pixels of a file of {size}."
    if captions:
        written = write_caption(model, processor_of(folder, "AutoTokenizer"), pixels)
        return _captioned(image, written, first, grid, path.name, note)
    with torch.no_grad(), eval_mode(tower), watch(model, keep=MAPS) as seen:
        tower(pixel_values=pixels)
    weights = []
    for layer in seen[seen.sites[0]]:
        rows = torch.as_tensor(layer.map[:, :, :1] if first else layer.map[:, :, :]).float()
        weights.append(_on_patches(rows[0].numpy(), first, grid, type(model).__name__).mean(1))
    query = "class token" if first else "mean of all patches"
    return ImageRecord(image, np.stack(weights), query, title=path.name, notes=(note,))


def _captioned(
    image: NDArray[np.uint8],
    caption: Caption,
    first: int,
    grid: tuple[int, int],
    name: str,
    note: str,
) -> ImageRecord:
    """The record of a caption; the mean of its words stands for the whole."""
    weights = _on_patches(caption.weights, first, grid, "the decoder")
    notes = [note]
    if caption.weights.shape[-1] > grid[0] * grid[1]:
        share = float(weights.sum((-2, -1)).mean())
        notes.append(f"{share:.0%} of the attention is on patches, the rest on other tokens.")
    if not caption.whole:
        notes.append("The caption was cut off at the length that the model may write.")
    return ImageRecord(
        image,
        weights.mean(0),
        "step that wrote each word",
        title=f"{name}: {caption.text}",
        notes=tuple(notes),
        words=tuple(map(WordAttention, caption.words, weights)),
    )


def _on_patches(
    weights: NDArray[Any], first: int, grid: tuple[int, int], name: str
) -> NDArray[np.float32]:
    """Weights `(..., tokens)` on patches alone, `(..., rows, columns)`.

    Raises:
        InputError: fewer tokens than patches.
    """
    count = grid[0] * grid[1]
    if weights.shape[-1] < first + count:
        raise InputError(
            f"{name} attends to {weights.shape[-1]} tokens at a time and the image has {count} patches, so "
            "no map lies on the whole image; regard.watch shows what there is"
        )
    found = weights[..., first : first + count].reshape(*weights.shape[:-1], *grid)
    return np.asarray(found, dtype=np.float32)


def processor_of(folder: Path, kind: str) -> Any:
    """The image processor, feature extractor or tokenizer of a folder.

    Raises:
        ModelFolderError: there is none.
    """
    import transformers

    what = "tokenizer" if kind == "AutoTokenizer" else "processor"
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # from many libraries below, each with errors of its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFolderError(
            f"{folder}: its {what} cannot be loaded ({lines[0]}); save it beside the model with "
            f"{what}.save_pretrained(FOLDER)"
        ) from error


def patch_positions(
    tower: Any, config: Any, pixels: Tensor, name: str
) -> tuple[int, tuple[int, int]]:
    """Position of the first patch among the tokens, and rows and columns of patches.

    Args:
        tower: the vision model.
        config: its configuration, with `patch_size`.
        pixels: `(1, channels, height, width)`.
        name: of the model, for errors.

    Raises:
        InputError: a patch that is not exactly one token, or tokens in another order than row by row.
    """
    size = getattr(config, "patch_size", None)
    if size is None:
        raise InputError(f"{name} has no patch_size, so it is no model of patches")
    tall, wide = (size, size) if isinstance(size, int) else size
    rows, columns = pixels.shape[2] // tall, pixels.shape[3] // wide
    corners = {(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)}
    corners |= {(min(1, rows - 1), 0), (0, min(1, columns - 1))}
    changed = sorted(corners)
    batch = pixels.repeat(1 + len(changed), 1, 1, 1)
    for number, (row, column) in enumerate(changed, 1):
        batch[number, :, row * tall : (row + 1) * tall, column * wide : (column + 1) * wide] += 1.0
    with torch.no_grad(), eval_mode(tower):
        states = tower(pixel_values=batch, output_hidden_states=True).hidden_states[0]
    if states.dim() != 3:
        raise InputError(
            f"{name} keeps its patches in a {states.dim()}-dimensional array, not as tokens"
        )
    moved = (states[1:] != states[:1]).any(-1)
    found = [row.nonzero()[:, 0].tolist() for row in moved]
    first = found[0][0] if found[0] else 0
    expected = [[first + row * columns + column] for row, column in changed]
    if found != expected:
        raise InputError(
            f"{name} does not read its image as {rows} x {columns} patches of one token each, row by row "
            "(they overlap, or are merged), so its attention cannot be laid over the image; regard.watch "
            "shows it in Python"
        )
    return first, (rows, columns)


def _opened(path: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(path)
    except OSError as error:
        raise DataError(f"cannot be read as an image ({error})", path=path) from error


def _open(path: Path) -> Any:
    """An image, upright as its camera was held, in three colours."""
    from PIL import ImageOps

    with _opened(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _as_seen(pixels: Tensor, processor: Any) -> Any:
    """Pixels `(channels, height, width)` as colours again, `(height, width, 3)`."""
    values = pixels.double().numpy().transpose(1, 2, 0)
    if getattr(processor, "do_normalize", False):
        values = values * np.asarray(processor.image_std) + np.asarray(processor.image_mean)
    if getattr(processor, "do_rescale", True):
        values = values / processor.rescale_factor
    if values.shape[-1] == 1:
        values = np.repeat(values, 3, -1)
    return np.rint(values.clip(0, 255)).astype(np.uint8)
