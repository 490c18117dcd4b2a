"""Models given to the Hub by `huggingface_hub` itself, and fetched from there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import Model
from regard.api.storage.front_matter import split
from regard.errors import InputError

huggingface_hub = pytest.importorskip("huggingface_hub")

PROGRAM = """
import json, sys
import regard
from huggingface_hub import HfApi, ModelCard
from regard.errors import RegardError

translator, classifier = map(regard.load, sys.argv[1:])
found = {"first": translator.push_to_hub("me/ours", private=True)}

card = ModelCard.load("me/ours")
card.validate()
found["results"] = [each.metric_type for each in card.data.eval_results]
card.data.license, card.data.datasets = "mit", ["me/dates"]
card.push_to_hub("me/ours")
HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="notes.md", repo_id="me/ours")

classifier.push_to_hub("me/ours")  # another model under the same name
again = regard.load("hf:me/ours")
found |= {"labels": again.labels, "history": len(again.history), "weights": again.weights}
found["card"] = again.files["README.md"].decode()
for repo, token in (("others/ours", None), ("me/new", "wrong"), ("no name", None)):
    try:
        classifier.push_to_hub(repo, token=token)
    except RegardError as error:
        found[repo] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.mark.skipif(
    int(huggingface_hub.__version__.partition(".")[0]) < 2,
    reason="older clients have cards validated by huggingface.co, whatever HF_ENDPOINT says",
)
@pytest.mark.dependency
@pytest.mark.slow
def test_a_model_is_pushed_and_loaded(
    hub: Any, translator: Model, classifier: Model, tmp_path: Path
) -> None:
    folders = [tmp_path / "dates", tmp_path / "mood"]
    for model, folder in zip((translator, classifier), folders, strict=True):
        model.save(folder)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, folders)],
        env=hub.environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["first"].startswith(f"{hub.address}/me/ours/commit/")
    assert hub.private["me/ours"]
    assert found["results"][0] == "bleu"
    # The tokenizers of the first model are gone, what is not regard's stays.
    files = {path.name for path in folders[1].iterdir() if path.is_file()}
    assert set(hub.models["me/ours"]) == {*files, "notes.md"}
    assert found["labels"] == list(classifier.labels)
    assert found["weights"] == regard.load(folders[1]).weights
    assert found["history"] == len(classifier.history)
    facts, text = split(found["card"])
    assert (facts["license"], facts["datasets"]) == ("mit", ["me/dates"])
    assert facts["pipeline_tag"] == "text-classification"
    assert text.startswith("# ours\n")
    assert "InputError" in found["others/ours"]
    assert "does not let you write there (403)" in found["others/ours"]
    assert "(401)" in found["me/new"]
    assert "expected OWNER/NAME" in found["no name"]


@pytest.mark.parametrize("name", ["mood", "a/b/c", "a /b", ""])
def test_names(classifier: Model, name: str) -> None:
    with pytest.raises(InputError, match="expected OWNER/NAME"):
        classifier.push_to_hub(name)
