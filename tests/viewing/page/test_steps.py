"""The page of steps: its mathematics against `attend`, what it holds, and how it works in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regard
from regard.errors import InputError, SettingsError, ShapeError
from regard.viewing.page.steps import save_steps, steps_html

HERE = Path(__file__).parent
SCORES = {
    "scaled dot": lambda width: regard.scores.ScaledDot(),
    "scaled dot, capped at 2": lambda width: regard.scores.Capped(regard.scores.ScaledDot(), 2),
    "dot": lambda width: regard.scores.Dot(),
    "cosine": lambda width: regard.scores.Cosine(),
    "additive": lambda width: regard.scores.Additive(np.ones(width)),
}
NORMALIZERS = {
    "softmax": regard.normalizers.Softmax(),
    "softmax with a sink": regard.normalizers.Softmax(sink=0),
    "entmax 1.25": regard.normalizers.Entmax(1.25),
    "sparsemax": regard.normalizers.Sparsemax(),
    "entmax 1.5": regard.normalizers.Entmax15(),
    "sigmoid": regard.normalizers.Sigmoid(),
    "hard": regard.normalizers.Hard(),
}


def worked() -> Any:
    key, value = [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]
    return regard.worked([1, 0, 1], key, value, tokens=["</script>"], show=False)


def problem_in(page: str) -> Any:
    found = re.search(r'id="problem">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_the_page_computes_what_attend_computes(run_node, tmp_path):
    cases = []
    rng = np.random.default_rng(0)
    for score, make in SCORES.items():
        for name, normalizer in NORMALIZERS.items():
            query, key, value = (rng.normal(size=(n, 4)) * 2 for n in (3, 5, 5))
            mask = rng.random((3, 5)) < 0.7
            mask[2] = False
            output, weights = regard.attend(
                query, key, value, score=make(4), normalizer=normalizer, mask=mask
            )
            problem = {"query": query.tolist(), "key": key.tolist(), "value": value.tolist(),
                       "mask": mask.tolist(), "queries": [], "keys": [], "score": score,
                       "normalizer": name}  # fmt: skip
            dense = np.asarray(weights.dense())
            cases.append({"problem": problem, "weights": dense.tolist(), "output": output.tolist()})
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    run_node(HERE / "attention_steps.test.js", REGARD_CASES=str(tmp_path / "cases.json"))


def test_the_file_holds_the_numbers_and_no_markup_of_tokens(tmp_path):
    path = save_steps(tmp_path / "steps.html", worked(), score="dot")
    page = path.read_text(encoding="utf-8")
    problem = problem_in(page)
    assert problem["key"] == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert problem["queries"] == ["</script>"]
    assert problem["mask"] == [[True, True, True]]
    assert problem["score"] == "dot"
    assert page.count("</script>") == 2
    assert "http:" not in page
    assert "https:" not in page


def test_what_the_page_cannot_show():
    with pytest.raises(SettingsError, match="softmax"):
        steps_html(worked(), normalizer="softmaxx")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        steps_html(worked(), mask=np.ones((3, 1)))
    steps = regard.worked([[np.nan]], [[1]], [[1]], show=False)
    with pytest.raises(InputError, match="query holds NaN"):
        steps_html(steps)


@pytest.fixture
def opened(open_tab, tmp_path):
    """Opens the page of two queries and three keys from disk."""

    def opened(**options: Any) -> Any:
        key, value = [[1, 0], [0, 1], [1, 1]], [[1], [2], [6]]
        steps = regard.worked(
            [[0, 0], [1, 0]], key, value, key_tokens=["the", "cat", "sat"], show=False
        )
        return open_tab(f"file://{save_steps(tmp_path / 'steps.html', steps)}", **options)

    return opened


@pytest.mark.browser
def test_a_number_that_is_typed_changes_every_step(opened):
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened()
    output = tab.get_by_role("table", name="5. Output")
    expect(output.locator("td").first).to_have_text("3")  # equal scores: the mean of 1, 2 and 6
    field = tab.get_by_label("V, sat, feature 1")
    field.focus()
    tab.keyboard.press("ControlOrMeta+A")
    tab.keyboard.type("9")
    expect(output.locator("td").first).to_have_text("4")
    expect(field).to_be_focused()
    expect(tab.get_by_role("status")).to_contain_text("Output: q1 4")
    field.fill("")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(output.locator("td").first).to_have_text("4")


@pytest.mark.browser
def test_mask_score_and_normaliser_are_chosen(opened):
    expect = pytest.importorskip("playwright.sync_api").expect
    tab = opened()
    first = tab.get_by_role("table", name="5. Output").locator("td").first
    tab.get_by_label("q1 may attend to sat").focus()
    tab.keyboard.press("Space")
    expect(first).to_have_text("1.5000")
    tab.get_by_label("Normaliser").select_option("sigmoid")
    expect(tab.get_by_role("table", name="3. Weights: sigmoid")).to_contain_text("0.5000")
    tab.get_by_label("Score").select_option("additive")
    expect(tab.get_by_role("table", name="1. Score: additive")).to_contain_text("0.7616")  # tanh(1)


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(opened, theme):
    tab = opened(device="phone", theme=theme)
    tab.wait_for_selector(".steps-results td")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.locator("#steps").get_attribute("data-theme") == theme
