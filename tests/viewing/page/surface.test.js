// Texts that fit, and SVG, worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SvgSurface, fitText, textWidth } from "#viewing/surface.js";
import { CHARACTER_WIDTH, inside, install } from "../../fake_dom.js";

install();

test("a text is cut to fit", () => {
  assert.equal(textWidth("abc"), 3 * CHARACTER_WIDTH);
  assert.equal(fitText("abc", 18), "abc");
  assert.equal(fitText("abcdef", 18), "ab…");
  assert.equal(fitText("abcdef", 23), "ab…");
  assert.equal(fitText("abcdef", 1), "…");
  assert.equal(fitText("a👩b", 18), "a…"); // two units would cut a surrogate pair
  assert.equal(fitText("a\u200db👩", 18), "a…"); // a joiner with nothing to join
});

test("SVG elements with three decimals, and nothing for what is left out", () => {
  const surface = new SvgSurface(100, 50);
  surface.rect(1.23456, 0, 10, 5, { stroke: "red" });
  surface.rect(0, 0, 1, 1, { fill: "blue", radius: 2, line: 1 });
  surface.text("a<b", 5, 6, { color: "#123456", align: "right", turn: -90 });
  surface.curve(0, 1, 10, 3, { color: "green", line: 2, opacity: 0.5 });
  const [first, second, text, curve] = inside(surface.root).children.map(inside);
  assert.deepEqual(first.attributes, { x: "1.235", y: "0", width: "10", height: "5", fill: "none", stroke: "red" });
  assert.deepEqual(second.attributes, { x: "0", y: "0", width: "1", height: "1", fill: "blue", "stroke-width": "1", rx: "2" });
  assert.equal(text.attributes["text-anchor"], "end");
  assert.equal(text.attributes.transform, "rotate(-90 5.00 6.00)");
  assert.equal(text.textContent, "a<b");
  assert.equal(curve.attributes.d, "M0.00 1.00C5.00 1.00 5.00 3.00 10.00 3.00");
  assert.equal(curve.attributes.opacity, "0.5");
});

test("what is clipped in an SVG goes to a group with a path of its own", () => {
  const surface = new SvgSurface(100, 50);
  surface.clip(0, 0, 10, 10, () => surface.clip(1, 1, 5, 5, () => surface.rect(0, 0, 1, 1, {})));
  surface.rect(2, 2, 1, 1, {});
  const [path, group, after] = inside(surface.root).children.map(inside);
  assert.deepEqual([path.tag, path.attributes.id, group.attributes["clip-path"]], ["clipPath", "clip0", "url(#clip0)"]);
  assert.equal(after.tag, "rect");
  const [, inner] = group.children.map(inside);
  assert.equal(inner.attributes["clip-path"], "url(#clip1)");
  assert.equal(inside(inner.children[0]).tag, "rect");
});
