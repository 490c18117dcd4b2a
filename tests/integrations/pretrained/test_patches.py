"""Attention laid over images: planted models whose class token looks at one known patch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from regard.errors import DataError, InputError, ModelFolderError
from regard.integrations.pretrained.patches import look_at_image
from regard.viewing.data.picture import PictureAttention

ROWS, COLUMNS, PATCH, WIDTH = 4, 6, 8, 32
TARGETS = {(0, 0): (1, 4), (0, 1): (3, 0), (1, 0): (0, 5), (1, 1): (2, 2)}
"""The patch (row, column) that each layer and head looks at."""


def processor_class(name: str) -> Any:
    """An image processor that needs Pillow alone, by the name that this version of transformers has."""
    pillow = getattr(transformers, f"{name}ImageProcessorPil", None)
    return pillow or getattr(transformers, f"{name}ImageProcessor")


def plant(model: Any, tower: Any, attentions: list[Any], table: torch.Tensor, first: int) -> None:
    """Set weights so that token 0 attends, in each head, to the one token of `TARGETS`.

    Position `j` is one-hot in feature `j`; a query reads feature 0 and a key that of its target. Colours go
    to the last feature.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
        table.copy_(10 * torch.eye(WIDTH)[: table.shape[-2]])
        for (layer, head), (row, column) in TARGETS.items():
            query, key = attentions[layer]
            at, target = head * WIDTH // 2, first + row * COLUMNS + column
            query.weight[at, 0] = 5.0
            key.weight[at, target] = 5.0
        patches = next(m for m in tower.modules() if isinstance(m, torch.nn.Conv2d))
        patches.weight[-1].fill_(0.001)


def vit() -> Any:
    config = transformers.ViTConfig(
        image_size=(ROWS * PATCH, COLUMNS * PATCH),  # type: ignore[arg-type]
        patch_size=PATCH,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
    )
    model = transformers.ViTForImageClassification(config)
    found = {
        name: part for name, part in model.named_modules() if name.endswith(("q_proj", "query"))
    }
    keys = {name: part for name, part in model.named_modules() if name.endswith(("k_proj", "key"))}
    pairs = list(zip(found.values(), keys.values(), strict=True))
    plant(model, model, pairs, model.vit.embeddings.position_embeddings[0], 1)
    return model


def save(folder: Path, model: Any, **options: Any) -> Path:
    model.eval().save_pretrained(folder)
    size = {"height": ROWS * PATCH, "width": COLUMNS * PATCH}
    processor_class("ViT")(size=size, **options).save_pretrained(folder)
    return folder


def write_image(path: Path, width: int, height: int) -> Path:
    """An image whose red says the column and whose green says the row of each pixel."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    pixels = np.stack([red, green, np.full((height, width), 90.0)], -1)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("vit"), vit())


@pytest.mark.parametrize(("width", "height"), [(48, 32), (120, 70), (30, 90)])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_planted_patch_is_lit(
    folder: Path, tmp_path: Path, width: int, height: int, ending: str
) -> None:
    seen = look_at_image(folder, write_image(tmp_path / f"photo{ending}", width, height))
    assert seen.query == "class token"
    assert seen.weights.shape == (2, 2, ROWS, COLUMNS)
    for (layer, head), (row, column) in TARGETS.items():
        assert seen.weights[layer, head].argmax() == row * COLUMNS + column
        pixels = seen.pixels(layer + 1, head + 1)
        lit = np.zeros((ROWS * PATCH, COLUMNS * PATCH), bool)
        lit[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH] = True
        np.testing.assert_array_equal(pixels > 0.5, lit)
        # The region under the light shows the part of the photo that it is of, however it was resized.
        colours = seen.image[lit].mean(0)
        centre = [(column + 0.5) / COLUMNS * 255, (row + 0.5) / ROWS * 255]
        np.testing.assert_allclose(colours[:2], centre, atol=8)
        spot = seen.spotlight(layer + 1, head + 1)
        assert spot[~lit].max() < 40
        np.testing.assert_array_equal(spot[lit], seen.image[lit])
    assert f"file of {width} x {height}" in seen.notes[0]


def test_the_image_is_shown_as_it_was_read(folder: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "same.png", COLUMNS * PATCH, ROWS * PATCH)
    np.testing.assert_array_equal(look_at_image(folder, path).image, np.asarray(Image.open(path)))
    turned = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    tag = Image.Exif()
    tag[0x0112] = 6  # the camera was held on its side: turn clockwise to see it
    turned.save(tmp_path / "turned.png", exif=tag)
    np.testing.assert_array_equal(
        look_at_image(folder, tmp_path / "turned.png").image, np.asarray(Image.open(path))
    )


def test_weights_are_those_of_transformers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "image_size": 24,
            "patch_size": 8,
        },
        projection_dim=8,
    )
    model = transformers.CLIPModel._from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(tmp_path)
    processor = processor_class("CLIP")(
        size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}
    )
    processor.save_pretrained(tmp_path)
    path = write_image(tmp_path / "photo.png", 60, 40)
    seen = look_at_image(tmp_path, path)
    pixels = processor(Image.open(path), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.vision_model(pixel_values=pixels, output_attentions=True).attentions
    stacked = torch.stack([layer[0, :, 0, 1:] for layer in expected]).reshape(2, 2, 3, 3)
    np.testing.assert_allclose(seen.weights, stacked.numpy(), atol=1e-6)
    # What is cropped away is not in the picture: its red begins where the crop does.
    assert seen.image[0, 0, 0] == pytest.approx(255 * (60 - 40) / 2 / 60, abs=12)


def test_what_cannot_be_laid_over_an_image_is_refused(
    folder: Path, tmp_path: Path, pretrained: Any
) -> None:
    path = write_image(tmp_path / "photo.png", 48, 32)
    with pytest.raises(ModelFolderError, match="reads input_ids, no image"):
        look_at_image(pretrained("bert"), path)
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(DataError, match="read as an image"):
        look_at_image(folder, tmp_path / "no.png")
    with pytest.raises(DataError, match="read as an image"):
        look_at_image(folder, tmp_path / "absent.png")
    bare = tmp_path / "bare"
    vit().save_pretrained(bare)
    with pytest.raises(ModelFolderError, match="processor"):
        look_at_image(bare, path)
    config = json.loads((folder / "config.json").read_text())
    assert config["patch_size"] == PATCH
    swin = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4
    )
    windows = tmp_path / "swin"
    save(windows, transformers.SwinForImageClassification(swin))
    with pytest.raises(InputError):
        look_at_image(windows, path)


def test_a_picture_and_a_page(folder: Path, tmp_path: Path) -> None:
    seen = look_at_image(folder, write_image(tmp_path / "photo.png", 90, 60))
    for name, options in (
        ("a.png", {}),
        ("b.png", {"layer": 2}),
        ("c.svg", {"layer": 1, "head": 2}),
    ):
        assert seen.save(tmp_path / name, **options).stat().st_size > 1000
    page = seen.save(tmp_path / "a.html").read_text()
    assert page.count("data:image/png") == 1 + 2 * 3
    assert "<script" not in page
    with pytest.raises(InputError, match="no layer 3; expected 1 to 2"):
        seen.save(tmp_path / "x.png", layer=3)
    with pytest.raises(InputError, match="no 3 x 5 equal patches"):
        PictureAttention(seen.image, np.zeros((1, 1, 3, 5), np.float32), "class token")
