// Generated answers: what their parts say.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GenerationView, commonPrefix, upTo } from "#serving/generation.js";
import { inside, install } from "../../fake_dom.js";

/** @import { Pane } from "../../../src/regard/serving/page/pane.js" */
/** @import { WriteAnswer } from "../../../src/regard/serving/page/types" */

install();

const words = (/** @type {string[]} */ ...texts) => texts.map((text, i) => ({ text, start: i, end: i + 1, special: text === "</s>" }));
/** @type {WriteAnswer} */
const answer = {
  model: "m", source: { text: "abc", words: words("a", "b", "</s>") }, answer: { text: "xy", words: words("x", "y") }, score: -1,
  attention: [[0.5, 0.25, 0.25], [0, 0.125, 0.875]], reading: "", alternatives: [],
};

/** @param {string[]} said to a screen reader */
function paneWith(said) {
  const pane = { info: { writes: false }, state: { hide: [1] }, steered: false, announce: (/** @type {string} */ text) => said.push(text) };
  return /** @type {Pane} */ (/** @type {unknown} */ (pane));
}

test("a text up to the word after its beginning", () => {
  assert.equal(upTo("the dog sees", "the", "dog"), "the dog");
  assert.equal(upTo("the end!", "the end", "!"), "the end!");
  assert.equal(upTo("a a a", "a", "a"), "a a");
});

test("words that two texts begin with", () => {
  assert.equal(commonPrefix(["a", "b", "c"], ["a", "b", "d", "e"]), 2);
  assert.equal(commonPrefix(["a"], ["a", "b"]), 1);
  assert.equal(commonPrefix(["a", "b"], ["a"]), 1);
  assert.equal(commonPrefix([], []), 0);
});

test("the weights of a word of the answer are its row, of the source its column", () => {
  const view = new GenerationView(paneWith([]), answer, null);
  assert.deepEqual(view.weights({ side: "answer", index: 1 }), [0, 0.125, 0.875]);
  assert.deepEqual(view.weights({ side: "source", index: 0 }), [0.5, 0]);
  assert.equal(view.max, 0.875);
  assert.deepEqual(view.source.buttons.map((button) => inside(button).classes.has("hidden-word")), [false, true, false]);
});

test("a word that is hovered shades the other side and is spoken of", () => {
  /** @type {string[]} */
  const said = [];
  const view = new GenerationView(paneWith(said), answer, null);
  view.hover({ side: "answer", index: 1 });
  assert.deepEqual(view.source.buttons.map((button) => inside(button).properties["--share"]), ["0.0%", "6.6%", "46.0%"]);
  view.hover({ side: "source", index: 0 });
  assert.deepEqual(said, ["y looked most at end of text 0.88, b 0.13", "a was looked at most by x 0.50, y 0.00"]);
});
