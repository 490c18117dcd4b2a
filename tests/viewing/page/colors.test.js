// The colour scale against values worked by hand; test_javascript.py compares it with colors.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeWeight } from "#viewing/codec.js";
import { ColorScale, PixelTables } from "#viewing/colors.js";

const hex = (/** @type {number} */ i) => i.toString(16).padStart(2, "0");
const grey = new ColorScale(Array.from({ length: 256 }, (_, i) => hex(i).repeat(3)).join(""));

test("weights are normalized by the maximum", () => {
  assert.equal(grey.normalize(0.25, 0.5, "linear"), 0.5);
  assert.equal(grey.normalize(0.25, 0.5, "row"), 0.5);
  assert.equal(grey.normalize(0.6, 0.5, "linear"), 1);
  assert.equal(grey.normalize(0, 0.5, "linear"), 0);
});

test("the log scale spans four decades", () => {
  assert.equal(grey.normalize(1, 1, "log"), 1);
  assert.equal(grey.normalize(0.01, 1, "log"), 0.5);
  assert.equal(grey.normalize(5e-5, 0.5, "log"), 0);
  assert.equal(grey.normalize(0, 1, "log"), 0);
});

test("a colour and its pixel are those of the palette", () => {
  const scale = new ColorScale(`112233${"ffffff".repeat(255)}`);
  assert.equal(scale.colors.length, 256);
  assert.equal(scale.color(0, 1, "linear"), "#112233");
  assert.deepEqual(new Uint8Array(scale.pixels.slice(0, 1).buffer), Uint8Array.of(0x11, 0x22, 0x33, 0xff));
  assert.equal(grey.color(0.5, 1, "linear"), "#808080");
});

test("text is black or white by luminance", () => {
  // A grey of 118 has a luminance of 0.181, one of 117 has 0.178: white and black contrast equally at 0.179.
  assert.equal(grey.textColor(118 / 255, 1, "linear"), "#000000");
  assert.equal(grey.textColor(117 / 255, 1, "linear"), "#ffffff");
});

test("attention spread evenly over a text is pale", () => {
  assert.equal(grey.textMax(0.01, 100), 0.04);
  assert.equal(grey.textMax(0.5, 100), 0.5);
  assert.equal(grey.textMax(0.5, 2), 1);
});

test("one table for all rows, or one for each code of a row's maximum", () => {
  const whole = new PixelTables(grey, "linear", 1);
  const table = whole.forRow(() => assert.fail("the rows' maxima do not matter"));
  assert.equal(whole.forRow(() => 1), table);
  assert.deepEqual([table[0], table[255]], [grey.pixels[0], grey.pixels[255]]);
  const rows = new PixelTables(grey, "row", 1);
  assert.equal(rows.forRow(() => 0.25), rows.forRow(() => 0.2501));
  assert.notEqual(rows.forRow(() => 0.25), rows.forRow(() => 0.5));
  assert.equal(rows.forRow(() => 0.25)[encodeWeight(0.25)], grey.pixels[255]);
});
