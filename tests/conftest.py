"""Fixtures every room shares."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import settings

# Nothing is timed in the tests: a busy machine is no failure. The same examples every time, so that a
# change that lands does not fail for the next one; `make fuzz` looks for new ones.
settings.register_profile("regard", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=1000)
settings.load_profile("regard")

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported

if not torch.cuda.is_available():  # kernels for a GPU are interpreted; read when triton is imported
    os.environ["TRITON_INTERPRET"] = "1"

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that use it are skipped where it is absent.

    Set REGARD_DATA to say where it is.
    """
    folder = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set REGARD_DATA to the folder that holds it)")
    return folder


@pytest.fixture(scope="session")
def run_node() -> Callable[..., None]:
    """Runs a file of JavaScript tests with `node --test`; those tests are skipped without Node.

    `run_node(path, NAME="value")` sets variables of the environment.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js: try apt-get install nodejs")

    def run_node(path: Path, **variables: str) -> None:
        found = subprocess.run(
            [node, "--test", str(path)],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr

    return run_node


# A headless Chromium, for tests marked `browser`

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    },
}
DRIVEN = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: try apt-get install chromium"),
    # The driver's pipes are closed when the process ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What every test in a browser needs."""
    for item in items:
        if item.get_closest_marker("browser"):
            for mark in DRIVEN:
                item.add_marker(mark)


@pytest.fixture(scope="module")  # its event loop must be gone when other tests start theirs
def browser() -> Iterator[Any]:
    """A Chromium, started once for the tests of a file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def troubles() -> list[str]:
    """What the console said and which strange addresses were asked for; tests end with none."""
    return []


@pytest.fixture
def open_tab(browser: Any, troubles: list[str]) -> Iterator[Callable[..., Any]]:
    """Opens an address on a device; at the end, console and network must have stayed silent.

    `open_tab(address, own=("file:",), device="phone", theme="dark", patience=30_000)`: `own` are
    beginnings of addresses that may be asked for, `patience` milliseconds to wait for anything.
    """
    contexts = []

    def open_tab(
        address: str,
        *,
        own: tuple[str, ...] = ("file:", "data:", "blob:", "about:"),
        device: str = "desktop",
        theme: str = "light",
        patience: int = 20_000,
    ) -> Any:
        context = browser.new_context(**DEVICES[device], color_scheme=theme)
        context.set_default_timeout(patience)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: troubles.append(message.text))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        foreign = lambda request: not request.url.startswith(own)  # noqa: E731
        tab.on("request", lambda request: troubles.extend([request.url] * foreign(request)))
        tab.goto(address)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="session")
def pretrained_folders() -> ModuleType:
    """The module `pretrained_folders.py`: makers of tiny tokenizers and models of transformers."""
    return _module("pretrained_folders")


@pytest.fixture(scope="session")
def pretrained(
    pretrained_folders: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Function that gives the folder of a tiny model of transformers by its kind; not to be changed."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = pretrained_folders.save(kind, tmp_path_factory.mktemp("pretrained") / kind)
        return made[kind]

    return folder_of


@pytest.fixture
def hub() -> Iterator[Any]:
    """A Hub on loopback (`hub_server.py`), without models."""
    with _module("hub_server").running() as server:
        yield server


@pytest.fixture(scope="session")
def planted_heads() -> ModuleType:
    """The module `planted_heads.py`: a GPT-2 whose heads do exactly one thing each, and texts for it."""
    return _module("planted_heads")


def _module(name: str) -> ModuleType:
    """A module of this folder that several test files use; it is imported when it is first needed."""
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"regard_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
