// The colour scale of the texts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TextView } from "#viewing/text.js";
import { DenseMatrix } from "#viewing/matrix.js";
import { install } from "../../fake_dom.js";
import { appWith, uniform } from "./fake_app.js";

/** @import { Matrix, State } from "../../../src/regard/viewing/page/types" */

install();

test("the scale is the map's, the row's, or at least four times the uniform weight", () => {
  const matrix = new DenseMatrix(["a", "b"], Array(16).fill("x"), Float32Array.from({ length: 32 }, (_, i) => (i === 31 ? 1 : i < 16 ? 1 / 16 : 0)));
  const max = (/** @type {Matrix} */ of, /** @type {Partial<State>} */ state) => new TextView(appWith(of, state)).max();
  assert.equal(max(matrix, {}), 1);
  assert.equal(max(matrix, { scale: "row" }), 0.25);
  assert.equal(max(matrix, { scale: "row", query: 1 }), 1);
  assert.equal(max(uniform(1, 16), {}), 0.25);
});
