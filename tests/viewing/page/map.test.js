// Where the map draws its cells, and which is under a point, worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WEIGHT_OF_CODE, encodeWeight } from "#viewing/codec.js";
import { MapView } from "#viewing/map.js";
import { DenseMatrix } from "#viewing/matrix.js";
import { inside, install } from "../../fake_dom.js";
import { appWith, blocks, colors, uniform } from "./fake_app.js";

install();

test("a small map has cells of 40 pixels, a large one is shown whole", () => {
  const small = new MapView(appWith(uniform(4, 5)));
  small.layout(800, 600);
  assert.deepEqual([small.left, small.top], [44, 44]); // names of two characters: the least margin
  assert.deepEqual([small.width, small.height], [748, 522]);
  assert.equal(small.scale, 40);
  const large = new MapView(appWith(uniform(1044, 748)));
  large.layout(800, 600);
  assert.equal(large.scale, 0.5);
  assert.deepEqual(large.visible(), { rows: [0, 1044], columns: [0, 748] });
});

test("long names have a margin of 132 pixels, and at most a third of the width", () => {
  const names = ["w".repeat(100), "x"];
  const map = new MapView(appWith(new DenseMatrix(names, names, Float32Array.of(1, 0, 0, 1))));
  map.layout(800, 600);
  assert.deepEqual([map.left, map.top], [132, 132]);
  map.layout(300, 600);
  assert.deepEqual([map.left, map.top], [96, 132]);
});

test("the cell under a point is the one that is drawn there", () => {
  const map = new MapView(appWith(uniform(300, 300), { query: 7, key: 9 }));
  map.layout(800, 600);
  Object.assign(map, { scale: 10, x: 20.5, y: 30, fit: false });
  assert.deepEqual(map.toPixels(31, 22), [map.left + 15, map.top + 10]);
  assert.deepEqual(map.hit(map.left + 15, map.top + 10), { query: 31, key: 22 });
  assert.deepEqual(map.hit(map.left + 14.9, map.top + 9.9), { query: 30, key: 21 });
  assert.deepEqual(map.hit(3, map.top + 10), { query: 31, key: 9 }); // a name at the left: only the row changes
  assert.deepEqual(map.hit(map.left + 15, 3), { query: 7, key: 22 });
  assert.equal(map.hit(3, 3), null);
  assert.equal(map.hit(-1, 100), null);
  assert.equal(new MapView(appWith(uniform(1, 1))).hit(1e6, 1e6), null);
});

test("zooming keeps the token under the pointer, within the limits", () => {
  const map = new MapView(appWith(uniform(400, 400)));
  map.layout(800, 600);
  const [x, y] = [map.left + 200, map.top + 100];
  const before = [map.x + 200 / map.scale, map.y + 100 / map.scale];
  map.zoom(4, x, y);
  assert.deepEqual([map.x + 200 / map.scale, map.y + 100 / map.scale].map(Math.round), before.map(Math.round));
  assert.equal(map.fit, false);
  map.zoom(1e9, x, y);
  assert.equal(map.scale, 40);
  map.zoom(0, x, y);
  assert.deepEqual([map.scale, map.x, map.y, map.fit], [map.minScale, 0, 0, true]);
});

test("panning and the cursor stay within the map", () => {
  const app = appWith(uniform(400, 400), { query: 399, key: 200 });
  const map = new MapView(app);
  map.layout(800, 600);
  Object.assign(map, { scale: 10, fit: false });
  map.pan(-50, 1e6);
  assert.deepEqual([map.x, map.y], [5, 0]);
  map.pan(-1e6, -1e6);
  assert.deepEqual([map.x, map.y], [400 - map.width / 10, 400 - map.height / 10]);
  map.x = 0;
  map.y = 0;
  map.scrollToCursor();
  assert.deepEqual([map.x, map.y], [201 - map.width / 10, 400 - map.height / 10]);
  map.x = 200.5 - map.width / 10; // half of the cursor's cell in view
  map.scrollToCursor();
  assert.equal(map.x, 201 - map.width / 10);
  map.x = 300;
  map.scrollToCursor();
  assert.equal(map.x, 200);
});

test("blocks are drawn with the largest weight of each row in its place", () => {
  const map = new MapView(appWith(blocks()));
  Object.assign(map, { scale: 1 });
  const grey = (/** @type {number} */ level) => colors.pixels[level];
  const maxima = new Uint32Array(map.tokenImage(0, 0, 2, 4).data.buffer);
  assert.deepEqual([...maxima], [grey(255), grey(255), grey(0), grey(0), grey(255), grey(255), grey(128), grey(0)]);
  Object.assign(map, { scale: 2 }); // where a cell can be seen, the mean of its block is nearer to it than the maximum
  const means = new Uint32Array(map.tokenImage(2, 1, 2, 3).data.buffer);
  assert.deepEqual([...means], [grey(0), grey(0), grey(255), grey(0), grey(0), grey(128)]);
});

test("a level is drawn block by block, in the pool that is chosen", () => {
  const matrix = blocks();
  const map = new MapView(appWith(matrix, { pool: "mean", scale: "log" }));
  const pixels = new Uint32Array(map.blockImage(matrix.levels[0], 0, 0, 2, 2).data.buffer);
  assert.deepEqual([...pixels], [0, 0, 0, 0].map((_, i) => colors.pixels[i === 1 || i === 2 ? 0 : colors.index(WEIGHT_OF_CODE[128], 1, "log")]));
  assert.equal(colors.index(1e-3, 1, "log"), 64);
});

test("an image of nothing but its own tokens has the pixel of each code", () => {
  const weights = [0.5, 0.25, 0.125, 0.125];
  const map = new MapView(appWith(new DenseMatrix(["a"], ["w", "x", "y", "z"], Float32Array.from(weights))));
  Object.assign(map, { scale: 40 });
  const pixels = new Uint32Array(map.tokenImage(0, 1, 1, 3).data.buffer);
  const expected = weights.slice(1).map((weight) => colors.pixels[colors.index(WEIGHT_OF_CODE[encodeWeight(weight)], 0.5, "linear")]);
  assert.deepEqual([...pixels], expected);
  assert.equal(inside(map.buffer).tag, "canvas");
});
