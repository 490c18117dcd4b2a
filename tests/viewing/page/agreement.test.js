// The page and Python on the same records: test_javascript.py writes what Python packs and computes, and runs this.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { encodeWeights } from "#viewing/codec.js";
import { ColorScale } from "#viewing/colors.js";
import { MatrixLoader } from "#viewing/loader.js";

/** @import { Head, Metadata, Scale, TokenOptions } from "../../../src/regard/viewing/page/types" */

/**
 * @typedef {{ layer: number, head: Head, options: TokenOptions, rows: string[], columns: string[], dense: number[],
 *   entropy: number[], received: number[], top: [index: number, weight: number][][] }} Expected
 * @typedef {{ metadata: Metadata, chunks: Record<string, string>, expected: Expected[] }} RecordCase
 * @typedef {{ weights: number[], codes: number[], palettes: Record<"light" | "dark", string>, textColors: Record<"light" | "dark", string[]>,
 *   scales: { scale: Scale, max: number, textMax: number, shades: number[], textShades: number[] }[],
 *   records: Record<string, RecordCase> }} Cases
 */

const path = process.env.REGARD_CASES;
const skip = path ? false : "pytest writes the cases";
const cases = /** @type {Cases} */ (path ? JSON.parse(readFileSync(path, "utf-8")) : { records: {} });

/**
 * @param {ArrayLike<number>} actual
 * @param {number[]} expected
 * @param {number} relative
 * @param {string} what
 * @param {number} absolute
 */
function close(actual, expected, relative, what, absolute = 1e-8) {
  assert.equal(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const limit = absolute + relative * Math.abs(expected[i]);
    assert.ok(Math.abs(actual[i] - expected[i]) <= limit, `${what}: ${actual[i]} instead of ${expected[i]} at ${i}`);
  }
}

test("codes of weights", { skip }, () => {
  assert.deepEqual([...encodeWeights(Float32Array.from(cases.weights))], cases.codes);
});

test("shades, colours and the colour of text on them", { skip }, () => {
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    const colors = new ColorScale(cases.palettes[theme]);
    assert.deepEqual(Array.from({ length: 256 }, (_, i) => colors.textColor(i / 255, 1, "linear")), cases.textColors[theme]);
    for (const { scale, max, textMax, shades, textShades } of cases.scales) {
      const weights = Float32Array.from(cases.weights);
      close(Array.from(weights, (weight) => colors.normalize(weight, max, scale)), shades, 0, scale, 1e-6);
      assert.ok(Math.abs(colors.textMax(max, weights.length) - textMax) < 1e-7);
      close(Array.from(weights, (weight) => colors.normalize(weight, textMax, scale)), textShades, 0, `text, ${scale}`, 1e-6);
    }
  }
});

for (const [name, { metadata, chunks, expected }] of Object.entries(cases.records)) {
  test(`a record of ${name}`, async () => {
    const loader = new MatrixLoader(metadata, { chunk: (chunk) => chunks[chunk] });
    for (const { layer, head, options, rows, columns, dense, entropy, received, top } of expected) {
      const what = `${name}, layer ${layer}, head ${head}, ${JSON.stringify(options)}`;
      const matrix = await loader.load(layer, { head, ...options });
      assert.deepEqual([matrix.rows, matrix.columns], [rows, columns], what);
      // What is stored as a byte is within half a step of its weight.
      close(matrix.dense(), dense, matrix.storage === "float32" && !matrix.approximate ? 2e-6 : 0.038, what);
      if (matrix.approximate) continue;
      close(matrix.entropy, entropy, 1e-4, `entropy of ${what}`);
      close(matrix.received, received, 1e-5, `received in ${what}`);
      top.forEach((row, query) => {
        const found = matrix.topOfRow(query, row.length);
        close(found.map(({ weight }) => weight), row.map(([, weight]) => weight), 2e-6, `top of ${what}`);
        for (const { index, weight } of found) close([matrix.weight(query, index).weight], [weight], 0, what);
      });
    }
  });
}
