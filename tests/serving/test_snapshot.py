"""Models as they were at the start: in memory, sealed, and known by their own folder."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from regard.api import Classifier
from regard.errors import ModelFolderError
from regard.serving import ModelRegistry
from regard.serving.snapshot import Snapshot, load_from, snapshots_of


@pytest.fixture
def folder(folders, tmp_path):
    return shutil.copytree(folders[2], tmp_path / "mood")


def test_what_is_loaded_is_the_snapshot(folder):
    with closing(Snapshot("mood", folder)) as snapshot:
        shutil.rmtree(folder)
        with snapshot.folder() as place:
            model = load_from(place, folder)
        assert not place.exists()
    assert isinstance(model, Classifier)
    assert model.classify("the film was good")[0].label == "positive"
    assert model.folder == folder
    assert model.verdict.startswith("Read this with care")
    assert model.num_parameters == sum(p.numel() for p in model.network.parameters())


def test_weights_are_mapped_and_cannot_be_changed(folder):
    with closing(Snapshot("mood", folder)) as snapshot, snapshot.folder() as place:
        model = load_from(place, folder)
        ranges = [
            [int(end, 16) for end in line.split()[0].split("-")]
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "/memfd:mood/model.safetensors" in line
        ]
        state = {**dict(model.network.named_parameters()), **dict(model.network.named_buffers())}
        at = [state[name].data_ptr() for name in model.network.state_dict()]
        assert at
        assert all(any(low <= address < high for low, high in ranges) for address in at)
        (descriptor,) = snapshot.weights.values()
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)


def test_a_damaged_model_is_named_by_its_own_folder(folder):
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(content)
    with pytest.raises(ModelFolderError) as error:
        ModelRegistry.of([folder])
    assert str(error.value).startswith(f"{weights}: ")
    assert "regard-serve-" not in str(error.value)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "source.json"])
def test_a_folder_that_lacks_a_file(folder, missing):
    path = folder / missing
    if not path.exists():
        pytest.skip(f"this model has no {missing}")
    path.unlink()
    with pytest.raises(ModelFolderError, match=str(folder)):
        ModelRegistry.of([folder])


def test_descriptors_are_closed_when_a_later_folder_is_no_model(folder, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ModelFolderError, match="no such folder"):
        snapshots_of([folder, tmp_path / "nothing"])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pretrained_folder_may_be_emptied(pretrained, tmp_path):
    pytest.importorskip("transformers")
    folder = shutil.copytree(pretrained("sentiment"), tmp_path / "sentiment")
    (model,) = ModelRegistry.of([folder]).models.values()
    assert isinstance(model, Classifier)
    expected = model.classify("a good film")[0].probabilities
    for path in folder.iterdir():
        path.write_bytes(
            b""
        )  # transformers maps the file: to read on from it would end the process
    assert model.classify("a good film")[0].probabilities == expected
