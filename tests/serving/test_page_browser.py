"""The web app in a real browser, by click and by keyboard; anything on the console is a failure."""

import json
import threading
import time
from urllib.parse import quote

import pytest
import uvicorn

from regard.serving import Limits, ModelRegistry, create_app

playwright = pytest.importorskip("playwright.sync_api")
TEXT = "der alt mann sieht die katze ."
PATIENT = 30_000

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(folders):
    app = create_app(ModelRegistry.of(folders), limits=Limits(max_characters=400))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def visit(open_tab, address):
    """Opens the app, which may ask for its own addresses only."""

    def visit(path="", **options):
        tab = open_tab(address + path, own=(address,), patience=PATIENT, **options)
        tab.wait_for_selector("[data-ready]")
        return tab

    return visit


def link(model, text=TEXT, **more):
    return "#" + "&".join(
        f"{k}={quote(v)}" for k, v in {"model": model, **more, "text": text}.items()
    )


def wrote(tab):
    return tab.get_by_role("group", name="What it wrote")


def read(tab):
    return tab.get_by_role("group", name="What it read")


def answered(tab, text):
    playwright.expect(wrote(tab)).to_contain_text(text, timeout=PATIENT)


def fits(tab):
    """Nothing reaches past the right edge. (On phones `innerWidth` grows with what overflows.)"""
    return tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]


def shades(group):
    """How dark each word is, in per cent."""
    return group.evaluate(
        "e => [...e.querySelectorAll('.word')].map(w => parseFloat(w.style.getPropertyValue('--share')) || 0)"
    )


def test_typing_a_text_gives_an_answer_by_keyboard_alone(visit):
    tab = visit()
    tab.get_by_label("Text", exact=True).focus()
    tab.keyboard.type(TEXT)
    tab.keyboard.press("Control+Enter")
    answered(tab, "the")
    assert "text=der+alt+mann" in tab.url
    assert wrote(tab).inner_text().startswith("the ")


def test_words_link_both_ways(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    wrote(tab).get_by_role("button").nth(1).hover()
    assert max(shades(read(tab))) > 20
    assert not any(shades(wrote(tab)))
    read(tab).get_by_role("button").nth(2).hover()
    assert any(shades(wrote(tab)))
    assert not any(shades(read(tab)))


def test_words_as_they_were_read_back(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    playwright.expect(tab.locator(".answer")).to_contain_text("token is the decoder's output")
    wrote(tab).get_by_role("button").nth(1).hover()
    written = shades(read(tab))
    tab.get_by_label("Words looked").select_option("as they were read back")
    playwright.expect(tab.locator(".answer")).to_contain_text("token is the decoder's input")
    assert "reading=input" in tab.url
    wrote(tab).get_by_role("button").nth(1).hover()
    assert shades(read(tab)) != written


def test_words_are_reached_and_read_aloud_by_keyboard(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    words = wrote(tab).get_by_role("button")
    words.first.focus()
    tab.keyboard.press("ArrowRight")
    playwright.expect(words.nth(1)).to_be_focused()
    playwright.expect(tab.get_by_role("status")).to_contain_text("looked most at")
    tab.keyboard.press("End")
    playwright.expect(words.last).to_be_focused()
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    playwright.expect(words.first).to_have_attribute("aria-pressed", "true")
    playwright.expect(tab.locator(".detail")).to_contain_text("the looked at")
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator(".detail")).to_be_hidden()


def test_words_stand_in_the_direction_of_their_text(visit):
    tab = visit(link("mood", "12 שלום עולם the film"))
    words = tab.locator(".word")
    places = [words.nth(i).bounding_box()["x"] for i in range(3)]
    assert places == sorted(places, reverse=True)
    words.first.focus()
    tab.keyboard.press("ArrowLeft")
    playwright.expect(words.nth(1)).to_be_focused()
    tab.keyboard.press("ArrowRight")
    playwright.expect(words.first).to_be_focused()


def test_another_word_goes_where_the_model_puts_it(visit):
    tab = visit(link("de-en"))
    answered(tab, ".")
    said = wrote(tab).inner_text()
    begin = said.removesuffix(".")
    assert (
        begin + "." == said
    )  # no space in service of the stop, so there is none in service of another sign
    found = {"begin": begin, "choices": [{"word": "!", "probability": 0.5, "text": begin + "!"}]}
    tab.route("**/alternatives", lambda route: route.fulfill(json=found))
    wrote(tab).get_by_role("button").last.click()
    tab.locator(".next-word").click()
    playwright.expect(tab.locator(".chip")).to_contain_text(f"begins with “{begin}!”")


def test_an_answer_without_words_says_so(visit):
    tab = visit()
    source = {"text": "der", "words": [{"text": "der", "start": 0, "end": 3, "special": False}]}
    silent = {
        "model": "de-en",
        "source": source,
        "answer": {"text": "", "words": []},
        "score": 0.0,
        "attention": [],
        "reading": "",
        "alternatives": [],
    }
    events = f"event: answer\ndata: {json.dumps(silent)}\n\n"
    tab.route(
        "**/translate", lambda route: route.fulfill(body=events, content_type="text/event-stream")
    )
    tab.get_by_label("Text", exact=True).fill("der")
    tab.get_by_role("button", name="Translate").click()
    playwright.expect(tab.get_by_text("No words: the model ended at once.")).to_be_visible()
    read(tab).get_by_role("button").click()
    playwright.expect(tab.locator(".detail")).to_contain_text("What if it had not looked there?")


def test_forcing_another_word(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    before = wrote(tab).inner_text()
    wrote(tab).get_by_role("button").first.click()
    tab.locator(".next-word").filter(has_text="a").last.click()
    playwright.expect(tab.locator(".chip")).to_contain_text("begins with", timeout=PATIENT)
    playwright.expect(tab.locator(".comparison")).to_contain_text(before)
    tab.locator(".chip").click()
    playwright.expect(tab.locator(".chip")).to_have_count(0)
    answered(tab, before.split()[1])


def test_forcing_a_typed_word_by_keyboard(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    wrote(tab).get_by_role("button").nth(1).focus()
    tab.keyboard.press("Enter")
    tab.get_by_label("Another word").focus()
    tab.keyboard.type("dog")
    tab.keyboard.press("Enter")
    answered(tab, "the dog")
    assert "begin.0=the+dog" in tab.url


def test_knocking_out_attention_and_sharing_it(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    read(tab).get_by_role("button", name="mann").click()
    tab.get_by_role("button", name="Knock out attention to it").click()
    playwright.expect(tab.locator(".chip")).to_contain_text(
        "no attention to “mann”", timeout=PATIENT
    )
    assert "hide.0=2" in tab.url
    again = visit(tab.url.split("/", 3)[3])
    playwright.expect(again.locator(".chip")).to_contain_text("no attention to “mann”")
    playwright.expect(again.locator(".hidden-word")).to_have_text("mann")
    playwright.expect(again.locator(".comparison")).not_to_be_empty()


def test_the_beams_other_answers(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    tab.get_by_text("4 other answers of the beam").click()
    others = tab.locator(".alternative")
    playwright.expect(others).to_have_count(4)
    chosen = others.first.locator("bdi").inner_text()
    others.first.click()
    answered(tab, chosen)


def test_two_models_side_by_side(visit):
    tab = visit(link("de-en"))
    tab.get_by_label("Compare with").select_option("de-en-young")
    playwright.expect(wrote(tab)).to_have_count(2)
    first, second = (pane.bounding_box() for pane in tab.locator(".pane").all())
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] < second["x"]
    assert tab.url.count("model=") == 2


def test_attention_of_a_classifier_is_edited(visit):
    tab = visit(link("mood", "the film was good"))
    playwright.expect(tab.locator(".labels .chosen")).to_contain_text("positive")
    group = tab.get_by_role("group", name="What it read")
    assert max(range(4), key=shades(group).__getitem__) == 3
    group.get_by_role("button", name="good").click()
    tab.get_by_label("Strength of attention to it").focus()
    for strength in ("1.25", "1.5"):  # the word stays open and the hand on its control
        tab.keyboard.press("ArrowRight")
        playwright.expect(tab.locator(".chip")).to_contain_text(f"attention to “good” × {strength}")
        playwright.expect(tab.locator(".edited-word")).to_have_text("good")
        playwright.expect(tab.get_by_label("Strength of attention to it")).to_be_focused()
    tab.get_by_role("button", name="Knock out attention to it").click()
    playwright.expect(tab.locator(".chip")).to_contain_text("no attention to “good”")
    playwright.expect(tab.locator(".hidden-word")).to_have_text("good")
    assert shades(group)[3] == 0
    assert "strength.0=3%3A0" in tab.url


def test_the_verdict_stands_under_every_answer(visit):
    said = "Read this with care: <b>it</b> is a test."
    for text in ("the film was good", "a bad story"):
        tab = visit(link("mood", text))
        playwright.expect(tab.locator(".pane .verdict")).to_have_text(f"Attention: {said}")
        assert "`regard trust`" not in tab.locator(".pane").inner_text()
    with tab.expect_popup() as opened:
        tab.get_by_role("link", name="All layers and heads").click()
    playwright.expect(opened.value.locator(".verdict")).to_contain_text(said)
    unasked = visit(link("de-en"))
    playwright.expect(unasked.locator(".pane")).to_contain_text("regard trust asks how far")
    assert unasked.locator(".verdict").count() == 0


def test_a_summary_is_picked(visit):
    tab = visit(link("gist", "der mann sieht die katze . ein hund jagt die frau ."))
    playwright.expect(tab.get_by_role("group", name="What it picked")).to_be_visible()
    assert tab.get_by_role("group", name="What it read").get_by_role("button").count() == 2


def test_what_the_server_refuses_is_told(visit):
    tab = visit()
    tab.get_by_label("Text", exact=True).fill("x" * 401)
    playwright.expect(tab.get_by_text("401 characters, at most 400 are taken")).to_be_visible()
    playwright.expect(tab.get_by_role("button", name="Translate")).to_be_disabled()
    tab.get_by_label("Text", exact=True).fill(
        "👩" * 400
    )  # 800 to JavaScript, 400 to a reader and to the server
    playwright.expect(tab.get_by_role("button", name="Translate")).to_be_enabled()
    tab = visit(link("de-en", "der mann", **{"hide.0": "9"}))
    playwright.expect(tab.locator(".status")).to_contain_text("word 9 of a text of 3 words")


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_and_everything_can_be_read(visit, device, theme):
    tab = visit(link("de-en", TEXT + " " + "w" * 120), device=device, theme=theme)
    answered(tab, " ")
    word = wrote(tab).get_by_role("button").first
    word.tap() if device == "phone" else word.click()
    playwright.expect(tab.locator(".next-word").first).to_be_visible()
    tab.evaluate("document.querySelector('#model option').textContent = 'm'.repeat(90)")
    assert fits(tab)
    assert tab.evaluate(LOWEST_CONTRAST) >= 4.5
    assert (
        tab.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(255, 255, 255)",
            "dark": "rgb(18, 21, 30)",
        }[theme]
    )


# The least contrast of any text with what is painted behind it (WCAG 2, 1.4.3).
LOWEST_CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
  const paint = canvas.getContext('2d', { willReadFrequently: true });
  const over = (colors) => {
    paint.clearRect(0, 0, 1, 1);
    for (const color of colors) { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const line = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((v) => line(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = 21;
  for (const element of document.querySelectorAll('main *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const exempt = element.closest('.visually-hidden, [hidden], :disabled, option');
    if (!own || exempt || !element.getClientRects().length) continue;
    const behind = [];
    for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
    const ground = light(over(behind));
    const ink = light(over([...behind, getComputedStyle(element).color]));
    worst = Math.min(worst, (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05));
  }
  return worst;
}"""


def test_the_theme_is_kept(visit):
    tab = visit()
    tab.get_by_role("button", name="Dark theme").click()
    tab.reload()
    tab.wait_for_selector("[data-theme=dark]")


@pytest.mark.parametrize(
    "text",
    [
        "</script><img src=x onerror=alert(1)> 'quotes' \"double\"",
        "👩‍👩‍👧‍👦 e\u0301\u0323 שלום עולם \u200b zero",
        "北京 ไทย " + "x" * 300,
    ],
)
def test_any_text_is_only_text(visit, text):
    tab = visit(link("mood", text))
    playwright.expect(tab.locator(".labels li").first).to_be_visible()
    assert tab.locator("main img, main script").count() == 0
    tab.locator(".word").first.click()
    playwright.expect(tab.locator(".detail")).to_be_visible()
    assert fits(tab)


def test_the_api_page_works_without_any_network_but_its_own(visit):
    tab = visit("docs")
    call = tab.get_by_role("region", name="POST /classify", exact=True)
    call.get_by_role("button", name="Try it").click()
    found = call.get_by_role("region", name="Answer of /classify")
    playwright.expect(found).to_contain_text('"label"')
    status, body = found.inner_text().split("\n", 1)
    assert status == "200"
    assert json.loads(body)["model"] == "mood"
    assert fits(tab)


def test_all_layers_and_heads_open_in_a_page_of_their_own(visit):
    tab = visit(link("de-en"))
    answered(tab, "the")
    with tab.context.expect_page() as opened:
        tab.get_by_role("link", name="All layers and heads").click()
    opened.value.wait_for_selector("[data-ready]")
    assert "/view?model=de-en" in opened.value.url


def test_a_classifier_sets_methods_side_by_side(visit):
    tab = visit(link("mood", "the film was good"))
    table = tab.get_by_role("table")
    playwright.expect(table.get_by_role("columnheader")).to_have_count(3)  # a model without n-grams
    pressed = table.get_by_role("button", pressed=True)
    playwright.expect(pressed).to_have_text("Left out")
    about = tab.locator(".explanation .fact").first
    playwright.expect(about).to_contain_text("fall when this word is left out")
    table.get_by_role("button", name="Attention").click()
    playwright.expect(table.get_by_role("button", pressed=True)).to_have_text("Attention")
    playwright.expect(about).to_contain_text("share of attention")
    playwright.expect(tab.locator(".explanation")).to_contain_text("an even share is 25.0%")
