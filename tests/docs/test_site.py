"""The reference has every public room, and the check of the built site finds what it should."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import regard

ROOT = Path(__file__).resolve().parents[2]


def site_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_check", ROOT / ".ci" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_room_is_in_the_reference() -> None:
    documented: set[str] = set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        documented |= set(re.findall(r"^\.\. automodule:: (\S+)", page.read_text(), re.MULTILINE))
    rooms = {
        getattr(regard, name).__name__
        for name in regard.__all__
        if isinstance(getattr(regard, name), ModuleType)
    }
    assert rooms - documented == set()


HEAD = "<html><head>{head}</head><body id='top'>{body}</body></html>"


@pytest.mark.parametrize(
    ("head", "body", "found"),
    [
        ("", "<a href='other.html#there'>x</a><a href='#top'>y</a>", []),
        ("", "<a href='https://example.org/'>a site elsewhere is a link, no load</a>", []),
        ("", "<a href='gone.html'>x</a>", ["index.html: no file for gone.html"]),
        ("", "<a href='other.html#no'>x</a>", ["index.html: no anchor for other.html#no"]),
        ("", "<img src='gone.png'>", ["index.html: no file for gone.png"]),
        (
            "<script src='//cdn.example/x.js'></script>",
            "",
            ["index.html: loads //cdn.example/x.js"],
        ),
        (
            "<link rel='stylesheet' href='https://cdn.example/x.css'>",
            "",
            ["index.html: loads https://cdn.example/x.css"],
        ),
        ("<link rel='canonical' href='https://example.org/'>", "", []),
    ],
)
def test_problems_of_a_site(tmp_path: Path, head: str, body: str, found: list[str]) -> None:
    (tmp_path / "index.html").write_text(HEAD.format(head=head, body=body))
    (tmp_path / "other.html").write_text("<p id='there'>")
    (tmp_path / "style.css").write_text("p { background: url(local.png) }")
    assert site_check().problems(tmp_path) == found


def test_styles_that_load_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("@import 'https://fonts.example/css';\np { color: red }")
    assert site_check().problems(tmp_path) == [
        "style.css: loads @import 'https://fonts.example/css"
    ]
