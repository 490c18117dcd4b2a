"""The page in a real browser, by click and by keyboard; anything on the console is a failure."""

import base64
import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from regard.viewing import AttentionRecord, MapSummary, Tokens, Track, page
from regard.viewing.data.explanation import Attribution, Explanation, Prediction

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser


@pytest.fixture
def look(open_tab, tmp_path):
    """Opens a record from disk."""

    def look(record, address="", **options):
        path = record if hasattr(record, "exists") else record.save(tmp_path / "page.html")
        tab = open_tab(f"file://{path}{address}", **options)
        tab.wait_for_selector("[data-ready]")
        return tab

    return look


def value(tab):
    return tab.locator(".readout .weight").inner_text()


def downloaded(tab, name):
    with tab.expect_download() as download:
        tab.get_by_role("button", name=f"Download {name}").click()
    return download.value.path().read_bytes()


def matrix(tab):
    """The numbers on screen, by way of the CSV."""
    rows = list(csv.reader(io.StringIO(downloaded(tab, "CSV").decode("utf-8-sig"))))
    return [row[0] for row in rows[1:]], rows[0][1:], np.array([r[1:] for r in rows[1:]], float)


def settled(tab, text):
    playwright.expect(tab.locator(".readout")).to_contain_text(text)


def test_overview_to_map_by_click(layers, look):
    tab = look(layers)
    assert tab.locator(".thumbnail").count() == 3 + 3 + 2 + 2
    tab.get_by_role("button", name="decoder 1, head 2").click()
    playwright.expect(tab.get_by_role("tab", name="Map")).to_have_attribute("aria-selected", "true")
    playwright.expect(tab.get_by_label("Layer", exact=True)).to_have_value("2")
    _, _, numbers = matrix(tab)
    np.testing.assert_allclose(numbers, layers.tracks[2].weights[1], rtol=1e-6)


def test_overview_to_map_by_keyboard(layers, look):
    tab = look(layers)
    tab.locator(".thumbnail").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        tab.keyboard.press(key)
    playwright.expect(tab.get_by_label("Layer", exact=True)).to_have_value("2")
    playwright.expect(tab.get_by_label("Head", exact=True)).to_have_value("1")
    assert tab.evaluate("document.activeElement.tagName") == "CANVAS"


def test_the_keyboard_reads_the_numbers_aloud(cross, look):
    tab = look(cross, "#view=map&query=2&key=3")
    tab.locator("canvas[tabindex]").focus()
    for key, (query, at) in {
        "ArrowRight": (2, 4),
        "ArrowDown": (3, 4),
        "Shift+ArrowLeft": (3, 0),
        "End": (3, 8),
        "PageUp": (0, 8),
        "Home": (0, 0),
        "PageDown": (7, 0),
        "ArrowUp": (6, 0),
    }.items():
        tab.keyboard.press(key)
        weight = cross.tracks[0].dense("mean")[query, at]
        said = tab.locator(".visually-hidden")
        playwright.expect(said).to_contain_text(f"Query {query + 1} of 8, key {at + 1} of 9.")
        shown = (
            f"{weight:.4f}"
            if weight >= 0.001
            else np.format_float_positional(weight, precision=3, fractional=False, trim="k")
        )
        playwright.expect(said).to_contain_text(shown)
        assert value(tab) == shown
    tab.keyboard.press("t")
    best = int(cross.tracks[0].dense("mean")[6].argmax())
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text(f"key {best + 1} of 9")
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("rank 1 in its row")


def test_everything_is_reached_by_tab(layers, look):
    tab = look(layers, "#view=map")
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate("""() => {
                const e = document.activeElement;
                const label = e.getAttribute('aria-label')?.slice(0, 12);
                return label ?? e.labels?.[0]?.innerText ?? e.textContent.trim();
            }""")
        )
    wanted = {"Theme", "Download PNG", "Download SVG", "Download CSV", "Copy link", "Map", "Layer"}
    wanted |= {"Head", "Scale", "Find a token", "Hide special tokens", "Merge to words"}
    assert wanted <= reached, wanted - reached


def test_tabs_turn_with_arrow_keys(layers, look):
    tab = look(layers)
    tab.get_by_role("tab", name="Overview").focus()
    for name in ("Map", "Links", "Text", "Overview"):
        tab.keyboard.press("ArrowRight")
        playwright.expect(tab.get_by_role("tab", name=name)).to_be_focused()
        playwright.expect(tab.get_by_role("tab", name=name)).to_have_attribute(
            "aria-selected", "true"
        )


def test_a_click_on_a_cell_and_on_a_listed_token(cross, look):
    tab = look(cross, "#view=map")
    box = tab.locator("canvas[tabindex]").bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("Query")
    row = tab.locator(".readout section").nth(1)
    row.get_by_role("button").nth(1).click()
    best = np.argsort(-cross.tracks[0].dense("mean"), axis=1)[:, 1]
    said = tab.locator(".visually-hidden").inner_text()
    query = int(said.split("Query ")[1].split(" ")[0]) - 1
    assert f"key {best[query] + 1} of 9" in said


@pytest.mark.parametrize("heads", ["mean", "max", 1])
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("special", [False, True])
def test_heads_words_and_special_tokens_agree_with_numpy(cross, look, heads, words, special):
    tab = look(cross, "#view=map")
    tab.get_by_label("Head", exact=True).select_option(str(heads))
    record = cross.select()
    if words:
        tab.get_by_label("Merge to words").check()
        record = record.words()
    if special:
        tab.get_by_label("Hide special tokens").check()
        record = record.without_special()
    track = record.tracks[0]
    playwright.expect(tab.locator(".readout")).to_contain_text(f"of {track.shape[1]}")
    tab.wait_for_timeout(50)
    rows, columns, numbers = matrix(tab)
    assert tuple(rows) == record.queries(track).pieces
    assert tuple(columns) == record.keys(track).pieces
    np.testing.assert_allclose(numbers, track.dense(heads), rtol=2e-6, atol=1e-8)


def test_the_cursor_stays_on_its_tokens(cross, look):
    tab = look(cross, "#view=map&query=7&key=6")
    playwright.expect(tab.locator(".pair")).to_have_text("house→haus")
    tab.get_by_label("Merge to words").check()
    playwright.expect(tab.locator(".pair")).to_have_text("playhouse→Spielhaus")
    tab.get_by_label("Hide special tokens").check()
    playwright.expect(tab.locator(".fact").first).to_have_text("query 6 of 6, key 5 of 6")
    playwright.expect(tab.locator(".pair")).to_have_text("playhouse→Spielhaus")


def test_a_reader_that_is_special_is_not_hidden(look):
    reader = Tokens.of(["reader"], special=["reader"])
    text = Tokens.of(["<s>", "good", "film"], special=["<s>"])
    tab = look(AttentionRecord.of([[0.5, 0.3, 0.2]], reader, text))
    tab.get_by_label("Hide special tokens").check()
    playwright.expect(tab.locator(".shaded .token")).to_have_text(["good", "film"])


def test_search_marks_and_visits(cross, look):
    tab = look(cross, "#view=map")
    tab.get_by_label("Find a token").fill("IN")
    playwright.expect(tab.locator(".count")).to_have_text("3 found")  # Ein, ins, into
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("to Ein")
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("to ins")
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("into to")
    again = look(cross, "#view=map&find=in")
    again.get_by_label("Find a token").press("Shift+Enter")
    playwright.expect(again.locator(".visually-hidden")).to_contain_text("into to")  # the last
    tab.get_by_label("Find a token").fill("zzz")
    playwright.expect(tab.locator(".count")).to_have_text("0 found")
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator(".visually-hidden")).to_have_text("Nothing found")


def test_a_link_brings_the_view_back(layers, look):
    tab = look(layers)
    tab.get_by_role("tab", name="Map").click()
    tab.get_by_label("Layer", exact=True).select_option("3")
    tab.get_by_label("Scale", exact=True).select_option("log")
    tab.get_by_label("Theme").select_option("dark")
    tab.locator("canvas[tabindex]").focus()
    for key in ("ArrowDown", "ArrowDown", "End", "+", "+"):
        tab.keyboard.press(key)
    tab.wait_for_timeout(350)
    address = tab.evaluate("location.hash")
    before = value(tab), tab.locator("canvas[tabindex]").screenshot()
    again = look(layers, address)
    assert again.get_by_label("Scale", exact=True).input_value() == "log"
    assert again.locator("#record").get_attribute("data-theme") == "dark"
    assert value(again) == before[0]
    again.locator("canvas[tabindex]").focus()
    assert again.locator("canvas[tabindex]").screenshot() == before[1]


@pytest.mark.parametrize(
    "address",
    [
        "#layer=99&head=-1",
        "#view=<b>&query=1e9&key=x",
        "#zoom=1e99&x=-5&y=nan",
        "#%%%",
        "#find=%3Cb%3E",
    ],
)
def test_an_address_made_up_by_somebody(layers, look, address):
    tab = look(layers, address)
    tab.get_by_role("tab", name="Map").click()
    assert value(tab)


@pytest.mark.parametrize("view", ["overview", "map", "links", "text"])
def test_downloads(layers, look, view, tmp_path):
    tab = look(layers, f"#view={view}&layer=3")
    picture = downloaded(tab, "PNG")
    assert picture.startswith(b"\x89PNG")
    svg = downloaded(tab, "SVG").decode()
    assert svg.startswith("<svg")
    ElementTree.fromstring(svg)
    assert len(svg) > 1500


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["overview", "map", "links", "text"])
def test_widths_and_themes(layers, look, device, theme, view):
    tab = look(layers, f"#view={view}&layer=3&query=3", device=device, theme=theme)
    wide = tab.evaluate("document.documentElement.scrollWidth")
    assert wide <= tab.viewport_size["width"]  # no sideways scrolling
    assert tab.locator("#record").get_attribute("data-theme") == theme
    poor = tab.evaluate(CONTRAST)
    assert poor == []


# Every text against the background behind it, as WCAG 2 counts (AA: 4.5, large text 3).
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(linear)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.9) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll('.regard *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('.visually-hidden') || e.tagName === 'OPTION') continue;
    const style = getComputedStyle(e), backs = [behind(e)];
    const bar = e.parentElement.querySelector(':scope > .bar');
    if (bar) backs.push(rgb(getComputedStyle(bar).backgroundColor));
    for (const back of backs) {
      const [a, b] = [light(rgb(style.color)), light(back)].sort((x, y) => y - x);
      const wanted = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
      if ((a + 0.05) / (b + 0.05) < wanted) poor.push(`${e.className}: ${e.textContent}`);
    }
  }
  return poor;
}"""


def test_fingers_pan_and_choose_on_a_phone(weights, look):
    tokens = [f"t{i}" for i in range(120)]
    record = AttentionRecord.of(weights(1, 120, 120), tokens)
    tab = look(record, "#view=map&zoom=20&x=10&y=10", device="phone")
    box = tab.locator("canvas[tabindex]").bounding_box()
    before = value(tab)
    tab.touchscreen.tap(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6)
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("Query")
    assert value(tab) != before


def test_wheel_and_drag(weights, look, tmp_path):
    tokens = [f"t{i}" for i in range(200)]
    tab = look(AttentionRecord.of(weights(1, 200, 200), tokens), "#view=map")
    box = tab.locator("canvas[tabindex]").bounding_box()
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    pictures = [tab.locator("canvas[tabindex]").screenshot()]
    for _ in range(3):
        tab.mouse.wheel(0, -240)
    tab.wait_for_timeout(300)
    zoom = float(tab.evaluate("new URLSearchParams(location.hash.slice(1)).get('zoom')"))
    assert zoom > 5
    pictures.append(tab.locator("canvas[tabindex]").screenshot())
    tab.mouse.down()
    tab.mouse.move(x + 150, y + 60, steps=5)
    tab.mouse.up()
    tab.wait_for_timeout(300)
    pictures.append(tab.locator("canvas[tabindex]").screenshot())
    assert len(set(pictures)) == 3
    address = tab.evaluate("location.hash")
    again = look(tmp_path / "page.html", address)
    again.wait_for_timeout(400)
    assert again.evaluate("location.hash") == address
    tab.locator("canvas[tabindex]").focus()
    tab.keyboard.press("0")
    playwright.expect(tab.locator(".visually-hidden")).to_have_text("All in view")


@pytest.mark.parametrize("view", ["overview", "map", "links", "text"])
def test_odd_tokens(odd_tokens, weights, look, view):
    n = len(odd_tokens)
    record = AttentionRecord(
        {"text": Tokens.of(odd_tokens, "".join(odd_tokens))},
        (Track("<b>&", "self", "text", "text", weights(2, n, n)),),
        title="</script><img src=x onerror=console.log(1)>",
        verdict="<b>no</b>",
    )
    tab = look(record, f"#view={view}")
    assert tab.locator("img, b").count() == 0
    assert tab.locator("h1").inner_text() == "</script><img src=x onerror=console.log(1)>"
    if view == "text":
        for i in range(n):
            tab.locator(".tokens").first.press("ArrowRight")
            assert tab.locator(".tokens [aria-selected=true]").first.get_attribute(
                "data-index"
            ) == str(min(i + 1, n - 1))
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    for name in ("PNG", "SVG", "CSV"):
        assert downloaded(tab, name)


def test_a_right_to_left_text_is_read_from_right_to_left(weights, look):
    hebrew, english = ["הוא", "אמר", "hello", "בבית"], ["he", "said", "hello", "at", "home"]
    tab = look(AttentionRecord.of(weights(1, 5, 4), english, hebrew), "#view=text&query=0&key=0")
    requested, read = (tab.get_by_role("listbox", name=name) for name in ("Queries", "Keys"))
    for texts, turned in ((requested, False), (read, True)):
        lefts = [word.bounding_box()["x"] for word in texts.locator(".token").all()]
        assert lefts == sorted(lefts, reverse=turned)
    read.press("Home")
    read.press("ArrowLeft")
    settled(tab, "key 2 of 4")
    read.press("ArrowRight")
    settled(tab, "key 1 of 4")
    picture = ElementTree.fromstring(downloaded(tab, "SVG"))
    drawn = {
        e.text: float(e.get("x", "nan")) for e in picture.iter("{http://www.w3.org/2000/svg}text")
    }
    assert [drawn[word] for word in hebrew] == sorted((drawn[w] for w in hebrew), reverse=True)


def test_pooling_opens_as_text(pooling, look):
    tab = look(pooling)
    shaded = tab.locator(".shaded .token")
    assert shaded.all_inner_texts() == [
        "the",
        "film",
        "is",
        "slow",
        "but",
        "utterly",
        "wonderful",
        ".",
    ]
    colors = shaded.evaluate_all("all => all.map((e) => e.style.background)")
    assert len(set(colors)) == 5
    assert value(tab) == "0.3800"
    shaded.nth(1).click()
    settled(tab, "film")
    assert value(tab) == "0.1000"


def test_a_page_of_144_heads_opens_at_once(weights, look, tmp_path):
    tokens = Tokens.of([f"t{i}" for i in range(128)])
    tracks = tuple(
        Track("encoder", "self", "t", "t", weights(12, 128, 128, seed=i), layer=i)
        for i in range(12)
    )
    record = AttentionRecord({"t": tokens}, tracks)
    tab = look(record)
    assert tab.locator(".thumbnail").count() == 144
    tab.get_by_role("button", name="encoder 5, head 3").click()
    dense = tracks[4].dense(2)
    best = dense[0].argmax()
    playwright.expect(tab.locator(".readout .weight")).to_have_text(f"{dense[0, best]:.4f}")
    tab.get_by_label("Head", exact=True).select_option("mean")
    settled(tab, "query 1 of 128")
    mean = tracks[4].dense("mean")
    playwright.expect(tab.locator(".readout .weight")).to_have_text(f"{mean[0, best]:.4f}")


@pytest.mark.parametrize("heads", [1, 3])
def test_a_map_of_16384_tokens(look, heads):
    n, blocks, k = 16_384, 256, 8
    rng = np.random.default_rng(0)
    grid = rng.random((heads, blocks, blocks), dtype=np.float32) / n
    values = np.sort(rng.random((heads, n, k), dtype=np.float32) / k)[..., ::-1]
    keys = rng.integers(0, n, (heads, n, k), dtype=np.int32)
    entropy, received = rng.random((2, heads, n))
    summary = MapSummary(grid, np.minimum(grid * 50, 1), values, keys, entropy, received)
    record = AttentionRecord(
        {"t": Tokens.of([f"t{i}" for i in range(n)])}, (Track("deep", "self", "t", "t", summary),)
    )
    tab = look(record, "#view=map&head=0&query=9000")
    assert value(tab) == f"{values[0, 9000, 0]:.4f}"
    settled(tab, f"entropy {entropy[0, 9000]:.2f} nats")
    tab.locator("canvas[tabindex]").focus()
    for key in "++++++++":
        tab.keyboard.press(key)
    tab.keyboard.press("ArrowDown")
    playwright.expect(tab.locator(".visually-hidden")).to_contain_text("Query 9002 of 16384")
    frames = tab.evaluate(FRAMES)
    assert max(frames[2:]) < 250, frames
    for view in ("Links", "Text"):
        tab.get_by_role("tab", name=view).click()
    if heads > 1:
        tab.get_by_label("Head", exact=True).select_option("mean")
        playwright.expect(tab.locator(".readout .weight")).to_contain_text("≈")
        # The entropy of the mean is not the mean entropy, and the sum of maxima not the mean sum.
        spread = entropy[:, 9001].mean()
        settled(tab, f"entropy {spread:.2f} nats, the mean of the heads’")
        settled(tab, "in all, exact")
        tab.get_by_label("Head", exact=True).select_option("max")
        settled(tab, "in all, the mean of the heads’")


# Milliseconds between frames while the map is dragged.
FRAMES = """async () => {
  const canvas = document.querySelector('canvas[tabindex]'), { left, top } = canvas.getBoundingClientRect();
  const at = (x, y) => ({ pointerId: 1, clientX: left + x, clientY: top + y, bubbles: true });
  const send = (name, x, y) => canvas.dispatchEvent(new PointerEvent(name, at(x, y)));
  canvas.setPointerCapture = () => {};
  send('pointerdown', 600, 300);
  const times = []; let last = performance.now();
  for (let i = 0; i < 20; i++) {
    send('pointermove', 600 - 15 * i, 300 - 7 * i);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last); last = performance.now();
  }
  send('pointerup', 300, 160);
  return times;
}"""


def test_the_frame_of_an_exported_notebook(open_tab, cross, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>notebook</title>{page.frame(cross)}", encoding="utf-8")
    tab = open_tab(f"file://{path}")
    inside = tab.frame_locator("iframe")
    inside.locator("[data-ready]").wait_for()
    inside.get_by_role("tab", name="Map").click()
    inside.locator("canvas[tabindex]").press("ArrowDown")
    playwright.expect(inside.locator(".visually-hidden")).to_contain_text("Query 2 of 8")
    tab.wait_for_timeout(400)
    with tab.expect_download() as download:
        inside.get_by_role("button", name="Download CSV").click()
    assert download.value.path().read_bytes()
    # Its address is the notebook's own, so there is no link to what is shown.
    assert inside.get_by_role("button", name="Copy link").count() == 0


def notebook_page(records):
    """A page of widgets as a notebook has them: the front end loaded anew for each."""
    packed = [page.pack(record) for record in records]
    front = base64.b64encode(page.script("notebook").encode()).decode()
    widgets = [{"metadata": each.metadata, "chunks": each.chunks} for each in packed]
    return (
        f"<!doctype html><meta charset=utf-8><style>{page.style()}</style><script type=module>"
        f"for (const [number, record] of {json.dumps(widgets)}.entries()) {{"
        f"const front = await import('data:text/javascript;base64,{front}#' + number);"
        "const el = document.body.appendChild(document.createElement('div'));"
        "await front.default.render({ model: { get: () => record }, el }); }</script>"
    )


def test_the_widget_in_a_browser(open_tab, cross, tmp_path):
    path = tmp_path / "widget.html"
    path.write_text(notebook_page([cross]), encoding="utf-8")
    tab = open_tab(f"file://{path}")
    tab.wait_for_selector("[data-ready]")
    tab.get_by_role("tab", name="Map").click()
    assert tab.locator(".readout .weight").inner_text()


def test_widgets_of_one_notebook_share_no_id(open_tab, cross, layers, tmp_path):
    path = tmp_path / "widgets.html"
    path.write_text(notebook_page([cross, layers]), encoding="utf-8")
    tab = open_tab(f"file://{path}")
    playwright.expect(tab.locator("[data-ready]")).to_have_count(2)
    for number in range(2):
        tab.get_by_role("tab", name="Text").nth(number).click()
        playwright.expect(tab.locator(".texts:visible")).to_have_count(number + 1)
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))
    for name in ("aria-activedescendant", "aria-controls", "aria-labelledby", "for"):
        own = tab.evaluate(
            """(name) => [...document.querySelectorAll(`[${name}]`)].map((element) =>
            element.closest('.regard').contains(document.getElementById(element.getAttribute(name))))""",
            name,
        )
        assert own, name
        assert all(own), name


def test_words_of_an_answer(look, pooling):
    tokens = pooling.tokens["text"]
    values = np.linspace(-2, 1, len(tokens))
    values[1] = np.nan
    scores = (
        Attribution("n-grams", values, True, "what n-grams add"),
        Attribution("attention", np.full(len(tokens), 1 / len(tokens)), False, "shares"),
    )
    explanation = Explanation(tokens, "good", 0.9, scores, "In front are the n-grams.")
    prediction = Prediction(("good",), (("good", 0.9), ("bad", 0.1)))
    tab = look(replace(pooling, explanation=explanation, prediction=prediction))
    assert tab.get_by_role("tab", selected=True).inner_text() == "Words"
    assert tab.get_by_role("list", name="Answer").inner_text().split("\n")[0] == "good 90.0 %"
    rows = tab.get_by_role("row")
    assert rows.nth(1).inner_text().split() == ["the", "−2.00", "12.5", "%"]
    assert rows.count() == len(tokens) + 2  # and the names, and what a full bar is
    assert "full bar" in rows.last.inner_text().lower()
    assert "50.0%; an even share is 12.5%" in rows.last.inner_text()
    # Even attention is a row of short bars.
    tab.get_by_role("button", name="Attention").click()
    bar = tab.locator("tbody .bar").nth(1).bounding_box()
    track = tab.locator("tbody .track").nth(1).bounding_box()
    assert bar["width"] / track["width"] == pytest.approx(0.25, abs=0.02)
    assert "In front are the n-grams." in tab.locator(".attributions").inner_text()
    tab.get_by_role("tab", name="Map").click()
    assert tab.locator(".attributions").is_hidden()
