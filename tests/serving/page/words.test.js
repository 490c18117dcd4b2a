// Texts as lists of words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WordList, isRightToLeft, nameOf, ranking, spaced, topPairs, withCode } from "#serving/words.js";
import { inside, install } from "../../fake_dom.js";

install();

const word = (/** @type {string} */ text, /** @type {number} */ start, special = false) =>
  ({ text, start, end: start + [...text].length, special });
const end = { text: "</s>", start: 3, end: 3, special: true };

test("what is between words stays between them", () => {
  const text = "a man, 👩 b";
  const words = [word("a", 0), word("man", 2), word(",", 5), word("👩", 7), word("b", 9)]; // in code points
  assert.deepEqual(spaced({ text, words }), [0, " ", 1, 2, " ", 3, " ", 4]);
});

test("a special token has a space in front, and overlapping words none", () => {
  assert.deepEqual(spaced({ text: "abc", words: [word("abc", 0), end] }), [0, " ", 1]);
  assert.deepEqual(spaced({ text: "", words: [{ ...end, start: 0, end: 0 }] }), [0]);
  assert.deepEqual(spaced({ text: "abcd e", words: [word("abcd", 0), word("bc", 1), word("e", 5)] }), [0, 1, " ", 2]);
});

test("the first letter decides the direction", () => {
  assert.equal(isRightToLeft("שלום"), true);
  assert.equal(isRightToLeft("12, عالم x"), true);
  assert.equal(isRightToLeft("x עולם"), false);
  assert.equal(isRightToLeft("12 ..."), false);
});

test("the largest weights come first, and the order of the list stays", () => {
  /** @type {[string, number][]} */
  const pairs = [["a", 0.1], ["b", 0.5], ["c", 0], ["d", 0.4]];
  assert.deepEqual(topPairs(pairs, 2), [["b", 0.5], ["d", 0.4]]);
  assert.equal(pairs[0][0], "a");
  const items = inside(ranking(pairs)).children.map(inside);
  assert.deepEqual(items.map((item) => item.textContent), ["b0.500", "d0.400", "a0.100"]); // without the zero
});

test("code in prose becomes an element", () => {
  const parts = withCode("run `regard trust` first");
  assert.deepEqual([parts[0], parts[2]], ["run ", " first"]);
  assert.deepEqual([inside(parts[1]).tag, inside(parts[1]).textContent], ["code", "regard trust"]);
});

test("a special token is called by what it means", () => {
  assert.equal(nameOf(end), "end of text");
  assert.equal(nameOf(word("x", 0)), "x");
});

test("words are shaded by their share of the largest weight", () => {
  const list = new WordList({ text: "a b", words: [word("a", 0), word("b", 2)] }, { label: "", onHover: () => {}, onChoose: () => {} });
  const shares = () => list.buttons.map((button) => inside(button).properties["--share"]);
  list.shade([0.25, 0.5], 0.5);
  assert.deepEqual(shares(), ["23.0%", "46.0%"]);
  list.shade(null, 1);
  assert.deepEqual(shares(), ["0.0%", "0.0%"]);
  list.press(1);
  assert.deepEqual(list.buttons.map((button) => inside(button).attributes["aria-pressed"]), ["false", "true"]);
});
