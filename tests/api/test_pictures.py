"""Images and sounds from the shell and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image
from typer.testing import CliRunner

import regard
from regard.cli.app import app
from regard.errors import ModelFolderError


def processor_class(name: str) -> Any:
    """An image processor that needs Pillow alone, by the name that this version of transformers has."""
    pillow = getattr(transformers, f"{name}ImageProcessorPil", None)
    return pillow or getattr(transformers, f"{name}ImageProcessor")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.ViTConfig(image_size=16, patch_size=8, intermediate_size=8, **sizes)  # type: ignore[arg-type]
    transformers.ViTModel(config).save_pretrained(folder)
    processor_class("ViT")(size={"height": 16, "width": 16}).save_pretrained(folder)
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(folder / "photo.png")
    return folder


def call(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, found.output


def test_an_image_from_the_shell_and_from_python(vit: Path, tmp_path: Path) -> None:
    seen = regard.look_at_image(vit, vit / "photo.png")
    assert seen.grid(layer=1, head=2).shape == (2, 2)
    code, shown = call("look", vit, "--image", vit / "photo.png")
    assert code == 0
    assert shown.splitlines() == [seen.title, *seen.lines(), *seen.notes]
    for name in ("a.png", "a.html"):
        assert call("look", vit, "--image", vit / "photo.png", "--out", tmp_path / name)[0] == 0
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to look at"),
        (["a text", "--image", "x.png"], "text does not go with an image"),
        (["--image", "x.png", "--hide", "a"], "--hide does not go with"),
        (["--image", "x.png", "--audio", "x.wav"], "--audio does not go with"),
        (["--image", "x.png"], "cannot be read as an image"),
        (["--image", "photo.png", "--out", "x.gif"], "cannot save to 'x.gif'"),
        (["--image", "photo.png", "--layer", "3"], "no layer 3; expected 1 to 2"),
        (["--audio", "x.wav"], "processor cannot be loaded"),
        (["a text"], "reads pixel_values, not text"),
    ],
)
def test_what_does_not_go_together(vit: Path, arguments: list[str], message: str) -> None:
    given = [str(vit / a) if a == "photo.png" else a for a in arguments]
    code, shown = call("look", vit, *given)
    assert code == 2
    assert message in " ".join(shown.split())


def test_a_folder_of_ours_is_refused(tmp_path: Path, pretrained: Callable[[str], Path]) -> None:
    with pytest.raises(ModelFolderError, match="no model that save_pretrained"):
        regard.look_at_image(tmp_path, "x.png")
    with pytest.raises(ModelFolderError, match="reads input_ids, no image"):
        regard.look_at_image(pretrained("bert"), "x.png")
