// The colour of signs on shaded cells.

import assert from "node:assert/strict";
import test from "node:test";

import { textColor } from "#viewing/grid.js";

test("signs are black on light colours and white on dark ones", () => {
  assert.equal(textColor("ffffff"), "#000000");
  assert.equal(textColor("fdfdff"), "#000000");
  assert.equal(textColor("000000"), "#ffffff");
  assert.equal(textColor("0a2a7a"), "#ffffff");
});
