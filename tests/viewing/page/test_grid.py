"""The page of a grid of heads: what it holds, and how it works in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regard.errors import InputError
from regard.viewing import AttentionRecord, Tokens, Track
from regard.viewing.data.grid import GridCell, GridFact, HeadGrid, LegendEntry
from regard.viewing.page.grid import grid_html

TEXT = Tokens.of(["<b>", "the", "cat", "sat"], special=["<b>"])


def record(seed: int, layers: int = 2, heads: int = 3) -> AttentionRecord:
    rng = np.random.default_rng(seed)
    tracks = [
        Track("encoder", "self", "text", "text", rng.dirichlet(np.ones(4), (heads, 4)), layer=layer)
        for layer in range(layers)
    ]
    return AttentionRecord({"text": TEXT}, tuple(tracks), title=f"example {seed}")


def grid(panels: int = 1) -> HeadGrid:
    cells = [
        GridCell(
            "encoder",
            layer,
            head,
            "previous" if head == 2 else "mixed",
            "P" if head == 2 else "-",
            0.9 if head == 2 else 0.0,
            layer == 1,
            "previous 0.90 [0.85, 0.95]" if head == 2 else "",
            (
                GridFact("entropy", "1.20", "1.10 to 1.30"),
                GridFact("previous", "0.90", "0.85 to 0.95", "0.25", 0.9),
            ),
            (layer - 1),
        )
        for layer in (1, 2)
        for head in (1, 2, 3)
    ]
    legend = (LegendEntry("previous", "P", "looks back"), LegendEntry("mixed", "-", "no rule"))
    examples = tuple(tuple(record(10 * e + p) for p in range(panels)) for e in range(2))
    captions = ("",) if panels == 1 else ("this & that", "<other>")
    return HeadGrid(
        "Heads of <m>", ("2 texts",), legend, tuple(cells), ("previous",), "a uniform head", examples, captions
    )  # fmt: skip


def metadata(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="metadata">(.*?)</script>', page, re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_a_page_holds_every_cell_and_record() -> None:
    page = grid_html(grid())
    content = metadata(page)
    assert [cell["sign"] for cell in content["cells"]] == ["-", "P", "-"] * 2
    assert content["cells"][4]["shown"] == [{"layer": 1, "head": 1}]
    assert [len(records) for records in content["examples"]] == [1, 1]
    assert page.count('id="chunk-1-0-') == 2 * 3 + 1
    assert "<m>" not in page
    assert "&lt;m&gt;" in page


def test_a_head_that_a_record_lacks_is_not_shown_there() -> None:
    base = grid()
    other = tuple((record(e, layers=1, heads=2),) for e in range(2))
    cells = metadata(grid_html(HeadGrid(**{**vars(base), "examples": other})))["cells"]
    assert [cell["shown"] for cell in cells] == [
        [{"layer": 0, "head": 0}],
        [{"layer": 0, "head": 1}],
        [None],
        [None],
        [None],
        [None],
    ]


def test_a_grid_needs_heads() -> None:
    with pytest.raises(InputError, match="without heads"):
        HeadGrid("t", (), (), (), ())


@pytest.fixture
def opened(open_tab: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Opens the page of a grid from disk."""

    def opened(shown: HeadGrid, address: str = "", **options: Any) -> Any:
        (tmp_path / "grid.html").write_text(grid_html(shown), encoding="utf-8")
        tab = open_tab(f"file://{tmp_path / 'grid.html'}{address}", **options)
        tab.wait_for_selector("#grid[data-ready]")
        return tab

    return opened


@pytest.mark.browser
def test_a_click_opens_figures_and_the_example(opened: Callable[..., Any]) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened(grid())
    tab.get_by_role("button", name="encoder layer 2, head 2: previous, not sure").click()
    expect(tab.locator(".figures h2")).to_have_text("encoder layer 2, head 2: previous (not sure)")
    expect(tab.locator(".figures")).to_contain_text("0.85 to 0.95")
    expect(tab.locator(".panels h1")).to_have_text("example 10")
    expect(tab.locator(".panels").get_by_label("Layer", exact=True)).to_have_value("1")
    expect(tab.locator(".panels").get_by_label("Head", exact=True)).to_have_value("1")
    assert tab.evaluate("location.hash") == "#encoder.2.2"
    assert tab.evaluate("document.activeElement.tagName") == "H2"


@pytest.mark.browser
def test_the_keyboard_moves_and_opens(opened: Callable[..., Any]) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened(grid())
    tab.locator(".heads button").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowRight", "Enter"):
        tab.keyboard.press(key)
    expect(tab.locator(".figures h2")).to_have_text("encoder layer 1, head 3: mixed")
    assert tab.locator(".heads button[tabindex='0']").count() == 1


@pytest.mark.browser
def test_an_address_opens_its_head(opened: Callable[..., Any]) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened(grid(), "#encoder.1.2")
    expect(tab.locator(".figures h2")).to_have_text("encoder layer 1, head 2: previous")
    expect(tab.locator(".panels h1")).to_have_text("example 0")


@pytest.mark.browser
def test_two_records_stand_side_by_side(opened: Callable[..., Any]) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened(grid(panels=2), "#encoder.1.2")
    expect(tab.locator(".panels > section > h2")).to_have_text(["this & that", "<other>"])
    expect(tab.locator(".panels h1")).to_have_text(["example 0", "example 1"])
    heads = tab.locator(".panels").get_by_label("Head", exact=True)
    assert [heads.nth(i).input_value() for i in range(2)] == ["1", "1"]


@pytest.mark.browser
def test_a_kind_makes_its_heads_stand_out(opened: Callable[..., Any]) -> None:
    tab = opened(grid())
    entry = tab.get_by_role("button", name="previous", exact=False).locator(".meaning").first
    entry.click()
    assert tab.locator(".heads button[data-dimmed]").count() == 4
    entry.click()
    assert tab.locator(".heads button[data-dimmed]").count() == 0


@pytest.mark.browser
def test_nothing_is_wider_than_a_phone(opened: Callable[..., Any]) -> None:
    tab = opened(grid(), "#encoder.1.2", device="phone")
    tab.wait_for_selector(".panels [data-ready]")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
