// What the numbers beside the picture say.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Readout } from "#viewing/readout.js";
import { CodedMatrix, DenseMatrix } from "#viewing/matrix.js";
import { install } from "../../fake_dom.js";
import { appWith, blocks } from "./fake_app.js";

install();

test("the cell in one sentence", () => {
  const matrix = new DenseMatrix(["a", "b"], ["x", "y"], Float32Array.of(0.75, 0.25, 0, 1));
  assert.equal(new Readout(appWith(matrix, { key: 1 })).sentence(), "a to y: 0.2500, rank 2 in its row. Query 1 of 2, key 2 of 2.");
  assert.equal(new Readout(appWith(matrix, { query: 1 })).sentence(), "b to x: 0. Query 2 of 2, key 1 of 2.");
  assert.match(new Readout(appWith(blocks())).sentence(), /^a to w: about 1e-4\. Query 1 of 4/);
});

test("which statistics are exact", () => {
  const matrix = blocks();
  assert.equal(new Readout(appWith(matrix)).received(0), "received 0 in all, exact; listed: among the top of their rows");
  const reduced = new CodedMatrix({ ...matrix, level: matrix.levels[0], headReduction: "max" });
  assert.equal(new Readout(appWith(reduced)).received(0), "received 0 in all, the mean of the heads’; listed: among the top of their rows");
  assert.equal(new Readout(appWith(reduced)).entropy(0), "entropy 0.00 nats, the mean of the heads’");
  const mean = new CodedMatrix({ ...matrix, level: matrix.levels[0], headReduction: "mean" });
  assert.match(new Readout(appWith(mean)).received(0), /in all, exact;/); // the mean over heads and the sum over queries commute
  const approximate = new DenseMatrix(["a"], ["x"], Float32Array.of(0.5), true);
  assert.equal(new Readout(appWith(approximate)).received(0), "received ≈ 0.5 in all");
  assert.equal(new Readout(appWith(approximate)).entropy(0), "entropy ≈ 0.35 nats");
});
