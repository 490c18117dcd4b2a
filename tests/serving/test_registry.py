"""The models of a server: read once, whatever happens to their folders later."""

import shutil

import pytest
from starlette.testclient import TestClient

from regard.serving import ModelRegistry, create_app

TEXT = "the film was good"


def damage(folder):
    for path in folder.iterdir():
        if path.is_file():
            path.write_bytes(b"\0damaged")


def truncate(folder):
    for path in folder.iterdir():
        if path.is_file():
            path.write_bytes(b"")


def replace(folder):
    """Another model's files under the same names."""
    for path in (folder.parent / "other").iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)


@pytest.mark.parametrize("change", [damage, truncate, replace, shutil.rmtree])
def test_answers_stay_when_the_folder_changes(folders, tmp_path, change):
    for source in folders[:3]:
        shutil.copytree(source, tmp_path / source.name)
    shutil.copytree(folders[3], tmp_path / "other")
    served = [tmp_path / source.name for source in folders[:3]]
    app = create_app(ModelRegistry.of(served))
    with TestClient(app, base_url="http://localhost") as client:
        for folder in served[1:]:  # before any request: nothing may be left to be read later
            change(folder)
        changed = answers(client)
        change(served[0])
        assert answers(client) == changed
    with TestClient(
        create_app(ModelRegistry.of(folders[:3])), base_url="http://localhost"
    ) as client:
        assert answers(client) == changed


def answers(client):
    found = [client.get("/health").json()]
    for model in ("de-en", "de-en-young"):
        question = {"text": "der mann sieht die katze .", "model": model}
        for path in ("/translate", "/alternatives", "/look"):
            found.append(client.post(path, json=question).json())
        found.append(client.get("/view", params=question).text)
    for more in ({}, {"explain": True}, {"strength": {"3": 0}}):
        found.append(client.post("/classify", json={"text": TEXT, **more}).json())
    found.append(client.post("/look", json={"text": TEXT, "model": "mood"}).json())
    found.append(client.get("/view", params={"text": TEXT, "model": "mood"}).text)
    assert not any("error" in one for one in found)
    assert found[-2]["verdict"].startswith("Read this with care")
    return found
