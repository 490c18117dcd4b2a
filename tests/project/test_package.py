"""The wheel that users install: what is in it, and what its page on PyPI says."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from regard import __version__

ROOT = Path(__file__).resolve().parents[2]
FORGE = "https://github.com/regard-attention/regard"

pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built once."""
    folder = tmp_path_factory.mktemp("dist")
    call = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(folder),
    ]
    subprocess.run(call, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """Its METADATA; the payload is the page."""
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_every_file_of_the_package_is_in_it_and_nothing_else(wheel):
    source = ROOT / "src"
    files = (f.relative_to(source) for f in (source / "regard").rglob("*") if f.is_file())
    ours = {f.as_posix() for f in files if "__pycache__" not in f.parts}
    assert {
        "regard/py.typed",
        "regard/viewing/page/page.css",
        "regard/serving/page/main.js",
    } <= ours
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == ours


def test_the_version_has_one_home(metadata):
    assert metadata["Version"] == __version__
    written = re.compile(rf"version\W+{re.escape(__version__)}\b", re.IGNORECASE)
    for page in ("pyproject.toml", "CITATION.cff", "docs/conf.py"):
        assert not written.search((ROOT / page).read_text(encoding="utf-8")), page


def test_links_of_the_page_are_absolute_and_lead_to_files_of_the_release(metadata):
    page = metadata.get_payload()
    assert isinstance(page, str)
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 10
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(FORGE):
            found = re.fullmatch(rf"{FORGE}/(?:blob|raw)/v{__version__}/([^#]+)(?:#.*)?", link)
            assert found, link
            assert (ROOT / found[1]).exists(), link
    assert f"]({FORGE}/raw/v{__version__}/docs/images/translation.png)" in page


def test_all_takes_every_extra_of_users(metadata):
    required: dict[str, set[str]] = {}
    for line in metadata.get_all("Requires-Dist") or []:
        requirement, _, extra = line.partition("; extra == ")
        required.setdefault(extra.strip("'"), set()).add(requirement)
    users = set(metadata.get_all("Provides-Extra") or []) - {"all", "test", "docs", "dev"}
    users -= {"export", "ray"}  # that only who exports, or has a cluster, needs
    assert {"serve", "notebook", "transformers"} <= users
    assert required["all"] == set().union(*(required[extra] for extra in users))
