// The mathematics of `regard.attend` for one small head, step by step, as the page of steps shows it.

/** @import { StepsProblem, Steps } from "./types" */

/** Scores by name: of a query and a key. */
export const SCORES = {
  "scaled dot": scaledDot,
  "scaled dot, capped at 2": (/** @type {number[]} */ q, /** @type {number[]} */ k) =>
    2 * Math.tanh(scaledDot(q, k) / 2),
  dot,
  cosine: (/** @type {number[]} */ q, /** @type {number[]} */ k) => dot(q, k) / (norm(q) * norm(k) || 1),
  additive: (/** @type {number[]} */ q, /** @type {number[]} */ k) => sum(q.map((x, i) => Math.tanh(x + k[i]))),
};

/** Normalisers by name: a row of scores, -Infinity where masked, to weights. */
export const NORMALIZERS = {
  softmax,
  "softmax with a sink": softmaxWithSink,
  sparsemax,
  "entmax 1.25": entmax125,
  "entmax 1.5": entmax15,
  sigmoid,
  hard,
};

/**
 * All steps from queries, keys and values to the output.
 * @param {StepsProblem} problem
 * @returns {Steps}
 */
export function computeSteps({ query, key, value, mask, score, normalizer }) {
  const scores = query.map((q) => key.map((k) => SCORES[score](q, k)));
  const masked = scores.map((row, i) => row.map((s, j) => (mask[i][j] ? s : -Infinity)));
  const weights = masked.map((row) => NORMALIZERS[normalizer](row));
  const weighted = weights.map((row) => row.map((w, j) => value[j].map((v) => (w === 0 ? 0 : w * v))));
  const output = weighted.map((row) => row[0].map((_, f) => sum(row.map((product) => product[f]))));
  return { scores, masked, weights, weighted, output };
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, x) => total + x, 0);
}

/**
 * @param {number[]} a
 * @param {number[]} b
 */
function dot(a, b) {
  return sum(a.map((x, i) => x * b[i]));
}

/**
 * @param {number[]} q
 * @param {number[]} k
 */
function scaledDot(q, k) {
  return dot(q, k) / Math.sqrt(q.length);
}

/** @param {number[]} a */
function norm(a) {
  return Math.sqrt(dot(a, a));
}

/** @param {number[]} row */
function softmax(row) {
  const highest = Math.max(...row);
  if (highest === -Infinity) return row.map(() => 0);
  const raised = row.map((s) => Math.exp(s - highest));
  const total = sum(raised);
  return raised.map((x) => x / total);
}

/**
 * Softmax of the row and one more score of 0, whose weight belongs to no key.
 * @param {number[]} row
 */
function softmaxWithSink(row) {
  return softmax([...row, 0]).slice(0, -1);
}

/**
 * Entmax of 1.25 (Correia, Niculae and Martins 2019), its threshold found by bisection.
 * @param {number[]} row
 */
function entmax125(row) {
  const highest = Math.max(...row);
  if (highest === -Infinity) return row.map(() => 0);
  const powers = (/** @type {number} */ threshold) =>
    row.map((s) => Math.max(0, (s - highest) / 4 - threshold) ** 4);
  let [low, high] = [-1, 0];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (sum(powers(middle)) >= 1) low = middle;
    else high = middle;
  }
  return powers(low);
}

/**
 * The projection onto the simplex (Martins and Astudillo 2016).
 * @param {number[]} row
 */
function sparsemax(row) {
  const sorted = row.filter((s) => s > -Infinity).sort((a, b) => b - a);
  let [total, threshold] = [0, Infinity];
  sorted.forEach((s, i) => {
    total += s;
    if (1 + (i + 1) * s > total) threshold = (total - 1) / (i + 1);
  });
  return row.map((s) => Math.max(0, s - threshold));
}

/**
 * Entmax of 1.5 (Peters, Niculae and Martins 2019): the squares of what is above a threshold.
 * @param {number[]} row
 */
function entmax15(row) {
  const highest = Math.max(...row);
  if (highest === -Infinity) return row.map(() => 0);
  const halves = row.map((s) => (s - highest) / 2);
  const sorted = halves.filter((s) => s > -Infinity).sort((a, b) => b - a);
  let [total, squares, threshold] = [0, 0, Infinity];
  sorted.forEach((s, i) => {
    const count = i + 1;
    total += s;
    squares += s * s;
    const mean = total / count;
    const delta = (1 - (squares - count * mean * mean)) / count;
    const tau = mean - Math.sqrt(Math.max(0, delta));
    if (tau <= s) threshold = tau;
  });
  return halves.map((s) => Math.max(0, s - threshold) ** 2);
}

/** @param {number[]} row */
function sigmoid(row) {
  return row.map((s) => 1 / (1 + Math.exp(-s)));
}

/** @param {number[]} row */
function hard(row) {
  const highest = Math.max(...row);
  const best = highest === -Infinity ? -1 : row.indexOf(highest);
  return row.map((_, i) => (i === best ? 1 : 0));
}
