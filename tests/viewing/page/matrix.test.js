// Matrices of attention weights against values worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WEIGHT_OF_CODE, encodeWeight } from "#viewing/codec.js";
import { CodedMatrix, DenseMatrix, halved, mergeWords, select, topk, wordOfPiece } from "#viewing/matrix.js";

const small = () => new DenseMatrix(["a", "b"], ["x", "y", "z"], Float32Array.of(0.5, 0.25, 0.25, 0, 1, 0));

/** 4 x 4 cells in 2 x 2 blocks; of each row the two largest weights. */
function blocks() {
  const codes = (/** @type {number[]} */ ...weights) => Uint8Array.from(weights, encodeWeight);
  return new CodedMatrix({
    rows: ["a", "b", "c", "d"],
    columns: ["w", "x", "y", "z"],
    storage: "blocks",
    level: { max: codes(0.7, 0.3, 0.4, 0.6), mean: codes(0.4, 0.1, 0.2, 0.3), rows: 2, columns: 2, blockRows: 2, blockColumns: 2 },
    top: {
      values: Float32Array.of(0.75, 0.125, 0.5, 0.25, 0.625, 0.25, 0.5, 0),
      keys: Uint16Array.of(0, 3, 1, 0, 3, 1, 2, 0),
      k: 2,
      approximate: false,
    },
    entropy: new Float32Array(4),
    received: new Float32Array(4),
  });
}

test("the largest weights, descending, the first of equal ones first", () => {
  const weights = Float32Array.of(0.25, 0.5, 0, 0.25, 0.5);
  assert.deepEqual(topk(weights, 3), [{ index: 1, weight: 0.5 }, { index: 4, weight: 0.5 }, { index: 0, weight: 0.25 }]);
  assert.equal(topk(weights, 9).length, 4); // without the zero
});

test("a dense matrix knows its cells, rows, columns and statistics", () => {
  const matrix = small();
  assert.deepEqual(matrix.weight(0, 1), { weight: 0.25, exact: true });
  assert.deepEqual(matrix.rowWeights(1), Float32Array.of(0, 1, 0));
  assert.deepEqual(matrix.topOfRow(0, 1), [{ index: 0, weight: 0.5, exact: true }]);
  assert.deepEqual(matrix.topOfColumn(1, 5), [{ index: 1, weight: 1, exact: true }, { index: 0, weight: 0.25, exact: true }]);
  assert.deepEqual(matrix.rowMaxima(), Float32Array.of(0.5, 1));
  assert.deepEqual(matrix.received, Float32Array.of(0.5, 1.25, 0.25));
  assert.ok(Math.abs(matrix.entropy[0] - 1.5 * Math.log(2)) < 1e-7);
  assert.equal(matrix.entropy[1], 0);
  assert.equal(matrix.max, 1);
});

test("the largest weight of an empty map still divides", () => {
  assert.equal(new DenseMatrix(["a"], ["x"], Float32Array.of(0)).max, 1e-8);
});

test("rows and columns are selected", () => {
  const matrix = select(small(), [1], [2, 1]);
  assert.deepEqual([matrix.rows, matrix.columns], [["b"], ["z", "y"]]);
  assert.deepEqual(matrix.weights, Float32Array.of(0, 1));
  assert.equal(matrix.approximate, false);
});

test("words sum over keys and average over queries", () => {
  const pieces = new DenseMatrix(["a", "b", "c"], ["x", "y", "z"], Float32Array.of(0.5, 0.25, 0.25, 0, 1, 0, 0.125, 0.125, 0.75));
  const words = mergeWords(pieces, { words: ["ab", "c"], word_starts: [0, 2] }, { words: ["x", "yz"], word_starts: [0, 1] });
  assert.deepEqual([words.rows, words.columns], [["ab", "c"], ["x", "yz"]]);
  assert.deepEqual(words.weights, Float32Array.of(0.25, 0.75, 0.125, 0.875)); // mean of (0.5, 0), of (0.5, 1), then c
  assert.deepEqual(wordOfPiece([0, 2, 3], 5), Int32Array.of(0, 0, 1, 2, 2));
});

test("what is computed from codes is approximate", () => {
  const quantized = new CodedMatrix({
    rows: ["a"], columns: ["x", "y"], storage: "quantized",
    level: { max: Uint8Array.of(255, 128), mean: Uint8Array.of(255, 128), rows: 1, columns: 2, blockRows: 1, blockColumns: 1 },
    top: { values: Float32Array.of(0.99), keys: Uint16Array.of(0), k: 1, approximate: false },
    entropy: new Float32Array(1), received: new Float32Array(2),
  });
  assert.deepEqual(quantized.weight(0, 0), { weight: Math.fround(0.99), exact: true });
  assert.deepEqual(quantized.weight(0, 1), { weight: Math.fround(1e-4), exact: false });
  assert.deepEqual(quantized.topOfColumn(1, 1), [{ index: 0, weight: Math.fround(1e-4), exact: false }]);
  assert.deepEqual(quantized.dense(), Float32Array.of(0.99, 1e-4));
  const one = select(quantized, [0], [0]);
  assert.equal(one.approximate, true);
  assert.deepEqual(one.weight(0, 0), { weight: Math.fround(0.99), exact: false });
  assert.equal(select(one, [0], [0]).approximate, true);
});

test("blocks give exact numbers for the largest of each row and means elsewhere", () => {
  const matrix = blocks();
  assert.deepEqual(matrix.weight(0, 3), { weight: 0.125, exact: true });
  assert.deepEqual(matrix.weight(0, 1), { weight: WEIGHT_OF_CODE[encodeWeight(0.4)], exact: false });
  assert.equal(matrix.code(3, 1, "max"), encodeWeight(0.4));
  assert.deepEqual(matrix.topOfRow(3, 9), [{ index: 2, weight: 0.5, exact: true }]); // a weight of 0 is none
  assert.deepEqual(matrix.topOfColumn(0, 9).map(({ index, weight }) => [index, weight]), [[0, 0.75], [1, 0.25]]);
  const mean = WEIGHT_OF_CODE[encodeWeight(0.4)];
  const other = WEIGHT_OF_CODE[encodeWeight(0.1)];
  assert.deepEqual(matrix.rowWeights(0), Float32Array.of(0.75, mean, other, 0.125));
  assert.deepEqual(matrix.rowMaxima(), Float32Array.of(0.75, 0.5, 0.625, 0.5));
  assert.equal(matrix.max, 0.75);
});

test("half the resolution: the maximum of maxima and the mean of means, also at odd edges", () => {
  const weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
  const codes = Uint8Array.from(weights, encodeWeight);
  const level = halved({ max: codes, mean: codes, rows: 3, columns: 3, blockRows: 1, blockColumns: 4 });
  assert.deepEqual([level.rows, level.columns, level.blockRows, level.blockColumns], [2, 2, 2, 8]);
  const of = (/** @type {number[]} */ ...values) => Uint8Array.from(values, encodeWeight);
  assert.deepEqual(level.max, of(0.5, 0.6, 0.8, 0.9));
  assert.deepEqual(level.mean, of(0.3, 0.45, 0.75, 0.9)); // of 4, 2, 2 and 1 cells
});

test("the level to draw has at least a pixel for each block", () => {
  const matrix = new DenseMatrix(Array(8).fill("q"), Array(8).fill("k"), new Float32Array(64).fill(0.125));
  assert.equal(matrix.levelFor(1).columns, 8);
  assert.equal(matrix.levelFor(0.5).columns, 4);
  assert.equal(matrix.levelFor(0.3).columns, 2);
  assert.equal(matrix.levelFor(0.01).columns, 1);
  assert.equal(matrix.levels.length, 4);
});
