// Elements, and how numbers and names are written.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatWeight, h, plural, token, truncate } from "#viewing/dom.js";
import { inside, install } from "../../fake_dom.js";

install();

test("attributes, listeners and children", () => {
  let clicks = 0;
  const element = inside(h("button", {
    id: "b", tabindex: 0, hidden: true, disabled: false, title: null, "aria-label": undefined, onclick: () => { clicks += 1; },
  }, "a", null, [h("b"), "c", undefined]));
  assert.deepEqual(element.attributes, { id: "b", tabindex: "0", hidden: "" });
  assert.equal(element.children.length, 3);
  assert.equal(element.textContent, "ac");
  element.listeners.click({});
  assert.equal(clicks, 1);
});

test("markup in a token stays text", () => {
  const element = inside(token("<b>"));
  assert.deepEqual(element.children, ["<b>"]);
  assert.deepEqual(element.attributes, { class: "token" });
  assert.equal(inside(token("w".repeat(1000))).attributes.title.length, 400);
});

test("weights have four decimals, or three digits, or two where they are estimates", () => {
  assert.equal(formatWeight(0.5), "0.5000");
  assert.equal(formatWeight(1), "1.0000");
  assert.equal(formatWeight(0), "0");
  assert.equal(formatWeight(0.00012345), "0.000123");
  assert.equal(formatWeight(0.12345, false), "≈ 0.12");
  assert.equal(formatWeight(0.1, false), "≈ 0.1");
  assert.equal(formatWeight(0.000012345, false), "≈ 1e-5");
  assert.equal(formatWeight(0, false), "≈ 0");
});

test("texts are cut between characters as readers see them", () => {
  assert.equal(truncate("short", 5), "short");
  assert.equal(truncate("longer", 5), "longe…");
  const family = "👩\u200d👩\u200d👧"; // one character of eight units
  assert.equal(truncate(family.repeat(3), 2), `${family.repeat(1)}…`); // at most four units for each
  assert.equal(truncate("e\u0301".repeat(4), 3), `${"e\u0301".repeat(3)}…`);
  assert.equal(truncate("🇩🇪🇫🇷🇮🇹", 2), "🇩🇪🇫🇷…");
});

test("nouns are counted", () => {
  assert.equal(plural(1, "layer"), "1 layer");
  assert.equal(plural(0, "head"), "0 heads");
  assert.equal(plural(1234, "head"), "1,234 heads");
});
