"""The lists of versions agree with `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?(?:>=([0-9.]+))?(?:;.*)?$")
LEFT_OUT = {"docs", "dev", "all", "export", "ray"}  # `make oldest` installs the rest


def pinned(name: str) -> dict[str, str]:
    """The versions of a list, by normal name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {normal(package): version for package, version in pairs}


def normal(package: str) -> str:
    """The name by which pip compares."""
    return re.sub(r"[-_.]+", "-", package).lower()


def bounds(*, left_out: set[str]) -> dict[str, str | None]:
    """The lower bounds of `pyproject.toml`, by normal name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    listed = [
        *project["dependencies"],
        *(line for extra, lines in extras if extra not in left_out for line in lines),
    ]
    found = {}
    for line in listed:
        if line.startswith("regard["):
            continue
        match = REQUIREMENT.match(line)
        assert match, f"not one name with a lower bound: {line}"
        found[normal(match[1])] = match[2]
    return found


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without the zeros at its end."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def test_the_oldest_are_the_lower_bounds():
    oldest = pinned("constraints-oldest.txt")
    for package, bound in bounds(left_out=LEFT_OUT).items():
        assert package in oldest, f"constraints-oldest.txt lacks {package}"
        if bound is not None:
            assert release(oldest[package]) == release(bound), package


def test_the_newest_are_allowed_and_newer():
    newest, oldest = pinned("constraints.txt"), pinned("constraints-oldest.txt")
    for package, bound in bounds(left_out=set()).items():
        if package in newest and bound is not None:
            assert release(newest[package]) >= release(bound), package
    for package in newest.keys() & oldest.keys():
        assert release(newest[package]) >= release(oldest[package]), package
