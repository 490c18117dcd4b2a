"""Shows that two commits answer alike, bit for bit: arrays, losses, weights, and every command's output.

    python -m benchmarks.same_answers 8a02f86                 # beside the working tree
    python -m benchmarks.same_answers 8a02f86 HEAD
    python -m benchmarks.same_answers 8a02f86 --keep base.json   # the base is recorded once, then read
    python -m benchmarks.same_answers 8a02f86 --only arrays   # no model is trained

One recorder (`record.py`) runs in a process of its own for each side, with `PYTHONPATH` at that side's `src`,
both at once. Names differ between commits: `names.py` holds the older spellings. Where only the words of an
output differ, and none of its figures or answers, `--wording` shows it, and it is no failure. The exit status
is 1 if anything else differs, 2 if a side could not be recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, machine
from benchmarks.same_answers.compare import Found, compare
from benchmarks.same_answers.record import PARTS

WORKING_TREE = "the working tree"
PACKAGES = ("torch", "numpy", "numba", "scikit-learn", "tokenizers")


def main() -> int:
    """Record both sides, or read what was kept of the first, and compare."""
    options = _options()
    first = _commit(options.first)
    second = options.second and _commit(options.second)
    kept = _kept(options.keep, first, options.only)
    with tempfile.TemporaryDirectory(prefix="same-answers-") as name:
        folder = Path(name)
        sides = [(first, folder / "first")] * (kept is None) + [(second, folder / "second")]
        try:
            processes = [_start(commit, place, options.only) for commit, place in sides]
            ended = [process.wait() for process in processes]
        finally:
            _remove_worktrees(folder)
        if any(ended):
            print("a recorder failed; see above", file=sys.stderr)
            return 2
        recordings = [json.loads(place.with_suffix(".json").read_text()) for _, place in sides]
    if kept is None and options.keep:
        about = {"about": _about(first, options.only)}
        options.keep.write_text(json.dumps(about | recordings[0], indent=1) + "\n")
    one, other = recordings if kept is None else (kept, *recordings)
    return _report(compare(one, other), first, second or WORKING_TREE, wording=options.wording)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", help="a commit")
    parser.add_argument("second", nargs="?", help="another; the working tree if not given")
    parser.add_argument("--keep", type=Path, help="file for what the first commit answers")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--wording", action="store_true", help="show where only words differ")
    return parser.parse_args()


def _commit(name: str) -> str:
    return _git("rev-parse", "--verify", f"{name}^{{commit}}").strip()


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _about(commit: str, only: str | None) -> dict[str, Any]:
    """What a recording is good for: a commit, asked by these questions, on a machine with these packages."""
    here = Path(__file__).parent
    asking = ("arrays", "cases", "commands", "files", "models", "python_api", "record")
    digest = hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in asking))
    return {
        "commit": commit,
        "only": only,
        "questions": digest.hexdigest()[:16],
        "machine": machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _kept(file: Path | None, commit: str, only: str | None) -> dict[str, Any] | None:
    """A recording that was kept, if it is still good."""
    if file is None or not file.is_file():
        return None
    recording: dict[str, Any] = json.loads(file.read_text())
    before, now = recording["about"], _about(commit, only)
    if only and before["only"] is None:  # the whole serves for a part
        recording = {k: v for k, v in recording.items() if k in _SECTIONS[only]}
        before = {**before, "only": only}
    stale = [name for name in now if before[name] != now[name]]
    if stale:
        print(f"{file} is of another {', '.join(stale)}: recorded anew", file=sys.stderr)
        return None
    return recording


_SECTIONS = {"arrays": ("arrays",), "models": ("models", "python")}


def _start(commit: str | None, place: Path, only: str | None) -> subprocess.Popen[bytes]:
    """The recorder beside a commit, or beside the working tree for `None`."""
    source = ROOT / "src"
    if commit is not None:
        _git("worktree", "add", "--detach", "--force", str(place), commit)
        source = place / "src"
    part = ["--only", only] if only else []
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "120",
        "TERM": "dumb",
    }
    command = [sys.executable, "-m", "benchmarks.same_answers.record"]
    return subprocess.Popen(
        [*command, str(place.with_suffix(".json")), *part], cwd=ROOT, env=environment
    )


def _remove_worktrees(folder: Path) -> None:
    for place in folder.iterdir():
        if place.is_dir():
            _git("worktree", "remove", "--force", str(place))


def _report(found: Found, first: str, second: str, *, wording: bool) -> int:
    for difference in sorted(found.differences):
        print(difference)
    if wording:
        for place in sorted(found.wording):
            print(f"words only: {place}")
    print(
        f"\n{first[:12]} and {second[:16]}: {found.compared:,} answers compared, "
        f"{len(found.differences):,} differ, {len(found.wording):,} differ in words only"
    )
    return int(bool(found.differences))


if __name__ == "__main__":
    sys.exit(main())
