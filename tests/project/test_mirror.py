"""`tests/` mirrors `src/regard/`: a test file is found where the module that it tests is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "regard"
TESTS = ROOT / "tests"

WHOLE_PROJECT = ("docs", "examples", "project", "typing")
"""Folders of tests that are about the project and no single module."""


def misplaced(tests: Path, package: Path) -> list[str]:
    """Test files `test_<module>[_<aspect>].py` whose folder holds no such module or package."""
    found = []
    for file in sorted(tests.rglob("test_*.py")):
        folder = file.relative_to(tests).parent
        if folder.parts[:1] and folder.parts[0] in WHOLE_PROJECT:
            continue
        here = package / folder
        modules = {
            path.stem.strip("_") for path in here.glob("*") if path.is_dir() or path.suffix == ".py"
        }
        if any(here.glob("*.js")):  # its tests are JavaScript, and one file of Python runs them
            modules.add("javascript")
        words = file.stem.removeprefix("test_").split("_")
        if not any("_".join(words[:count]) in modules for count in range(1, len(words) + 1)):
            found.append(str(folder / file.name))
    return found


def test_every_test_file_stands_beside_its_module() -> None:
    assert misplaced(TESTS, PACKAGE) == []


def test_a_file_in_the_wrong_folder_is_found(tmp_path: Path) -> None:
    tests, package = tmp_path / "tests", tmp_path / "package"
    for path in (
        package / "room" / "part.py",
        tests / "room" / "test_part_shapes.py",
        tests / "test_part.py",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert misplaced(tests, package) == ["test_part.py"]
