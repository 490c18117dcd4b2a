// The steps of attention against numbers worked by hand, and against Python (test_steps.py writes the cases).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { NORMALIZERS, computeSteps } from "#viewing/attention_steps.js";

/** @import { StepsProblem } from "../../../src/regard/viewing/page/types" */

const path = process.env.REGARD_CASES;
const cases = /** @type {{ problem: StepsProblem, weights: number[][], output: number[][] }[]} */ (path ? JSON.parse(readFileSync(path, "utf-8")) : []);

/**
 * @param {number[][]} actual
 * @param {number[][]} expected
 * @param {string} what
 */
function close(actual, expected, what) {
  expected.forEach((row, i) => row.forEach((x, j) => {
    assert.ok(Math.abs(actual[i][j] - x) < 1e-9, `${what}: ${actual[i][j]} instead of ${x} at ${i}, ${j}`);
  }));
}

test("equal scores share the weight", () => {
  const steps = computeSteps({
    query: [[0, 0]], key: [[1, 0], [0, 1]], value: [[2], [4]], mask: [[true, true]], queries: ["q"], keys: ["a", "b"],
    score: "scaled dot", normalizer: "softmax",
  });
  assert.deepEqual(steps.weights, [[0.5, 0.5]]);
  assert.deepEqual(steps.output, [[3]]);
});

test("a row that may attend to nothing has no weight", () => {
  for (const [name, normalize] of Object.entries(NORMALIZERS)) {
    assert.deepEqual(normalize([-Infinity, -Infinity]), [0, 0], name);
  }
});

test("sparsemax worked by hand", () => {
  assert.deepEqual(NORMALIZERS.sparsemax([1, 0.5, -1]), [0.75, 0.25, 0]);
});

test("the page and Python", { skip: path ? false : "pytest writes the cases" }, () => {
  assert.ok(cases.length > 10);
  for (const { problem, weights, output } of cases) {
    const steps = computeSteps(problem);
    close(steps.weights, weights, `${problem.score}, ${problem.normalizer}`);
    close(steps.output, output, `${problem.score}, ${problem.normalizer}`);
  }
});
