// A sheet is one queries x keys matrix to look at, at whatever resolution it was kept.
//
// kept "exact":  every weight as float32
// kept "coded":  every weight as a byte, and the largest of each row exactly
// kept "blocks": mean and maximum of each block as bytes, and the largest of each row exactly

import { WEIGHT_OF_CODE, codeOfWeight, codesOf } from "./codec.js";

export class Sheet {
  constructor({ rows, columns, kept, weights, level, top, entropy, received }) {
    Object.assign(this, { rows, columns, kept, weights, top });
    this.queries = rows.length;
    this.keys = columns.length;
    if (kept === "exact") {
      const codes = codesOf(weights);
      level = { max: codes, mean: codes, down: this.queries, across: this.keys, tall: 1, wide: 1 };
      entropy ??= entropies(weights, this.queries, this.keys);
      received ??= columnSums(weights, this.queries, this.keys);
    }
    this.entropy = entropy;
    this.received = received;
    this.levels = [level];
    this.peak = Math.max(largest(weights ?? top.values), 1e-8);
  }

  // The planes with at least `pixels` of size per block, each level half the one before.
  level(pixelsPerToken) {
    let index = 0;
    for (;;) {
      const level = this.levels[index];
      if (pixelsPerToken * level.wide >= 1 || level.across < 2 || level.down < 2) return level;
      this.levels[++index] ??= halved(level);
    }
  }

  rowPeaks() {
    this.peaks ??= Float32Array.from({ length: this.queries }, (_, q) => this.row(q, 1)[0]?.weight ?? 0);
    return this.peaks;
  }

  // The code to draw for one cell; `plane` is "max" or "mean".
  code(query, key, plane) {
    const level = this.levels[0];
    return level[plane][Math.floor(query / level.tall) * level.across + Math.floor(key / level.wide)];
  }

  // A weight and whether the number is exact.
  weight(query, key) {
    if (this.weights) return { weight: this.weights[query * this.keys + key], exact: this.kept === "exact" && !this.about };
    const { values, keys, count } = this.top;
    for (let i = query * count; i < (query + 1) * count; i++) {
      if (keys[i] === key) return { weight: values[i], exact: !this.top.about };
    }
    return { weight: WEIGHT_OF_CODE[this.code(query, key, "mean")], exact: false };
  }

  // The largest weights of a row, descending: [{ index, weight, exact }].
  row(query, count) {
    if (this.weights) {
      const found = largestOf(this.weights.subarray(query * this.keys, (query + 1) * this.keys), count);
      return found.map((item) => ({ ...item, exact: !this.about }));
    }
    const { values, keys, count: kept } = this.top;
    const found = [];
    for (let i = query * kept; i < query * kept + Math.min(count, kept); i++) {
      if (values[i] > 0) found.push({ index: keys[i], weight: values[i], exact: !this.top.about });
    }
    return found;
  }

  // The largest weights of a column. Where not every weight is held, those among the top of their rows.
  column(key, count) {
    if (this.kept === "blocks") return this.columnOfTops(key, count);
    const line = new Float32Array(this.queries);
    for (let query = 0; query < this.queries; query++) line[query] = this.weight(query, key).weight;
    return largestOf(line, count).map((item) => ({ ...item, exact: this.weight(item.index, key).exact }));
  }

  columnOfTops(key, count) {
    const { values, keys, count: kept } = this.top;
    const found = [];
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === key && values[i] > 0) {
        found.push({ index: Math.floor(i / kept), weight: values[i], exact: !this.top.about });
      }
    }
    return found.sort((a, b) => b.weight - a.weight).slice(0, count);
  }

  // Every weight of a row, as well as it is known.
  line(query) {
    if (this.weights) return this.weights.subarray(query * this.keys, (query + 1) * this.keys);
    const line = new Float32Array(this.keys);
    for (let key = 0; key < this.keys; key++) line[key] = WEIGHT_OF_CODE[this.code(query, key, "mean")];
    for (const { index, weight } of this.row(query, this.keys)) line[index] = weight;
    return line;
  }

  // All weights in one array; only for sheets that hold every cell.
  dense() {
    if (this.weights) return this.weights;
    const all = new Float32Array(this.queries * this.keys);
    for (let query = 0; query < this.queries; query++) all.set(this.line(query), query * this.keys);
    return all;
  }

  // Only some rows and columns.
  keep(rows, columns) {
    const all = this.dense();
    const weights = new Float32Array(rows.length * columns.length);
    rows.forEach((row, i) => columns.forEach((column, j) => {
      weights[i * columns.length + j] = all[row * this.keys + column];
    }));
    return this.derived(rows.map((i) => this.rows[i]), columns.map((i) => this.columns[i]), weights);
  }

  // Pieces to words, given where each word starts: mean over queries, sum over keys.
  merge(rows, columns, rowStarts, columnStarts) {
    const all = this.dense();
    const weights = new Float32Array(rows.length * columns.length);
    const rowOf = wordOf(rowStarts, this.queries);
    const columnOf = wordOf(columnStarts, this.keys);
    const sizes = rowStarts.map((start, i) => (rowStarts[i + 1] ?? this.queries) - start);
    for (let query = 0; query < this.queries; query++) {
      for (let key = 0; key < this.keys; key++) {
        weights[rowOf[query] * columns.length + columnOf[key]] += all[query * this.keys + key] / sizes[rowOf[query]];
      }
    }
    return this.derived(rows, columns, weights);
  }

  derived(rows, columns, weights) {
    const sheet = new Sheet({ rows, columns, kept: "exact", weights });
    sheet.about = this.about || this.kept !== "exact";
    return sheet;
  }
}

export function wordOf(starts, length) {
  const words = new Int32Array(length);
  starts.forEach((start, word) => words.fill(word, start, starts[word + 1] ?? length));
  return words;
}

// A level has `down` x `across` blocks, each of `tall` x `wide` tokens but the last.
function halved({ max, mean, down, across, tall, wide }) {
  const rows = Math.ceil(down / 2);
  const columns = Math.ceil(across / 2);
  const peaks = new Uint8Array(rows * columns);
  const means = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let peak = 0;
      let total = 0;
      let cells = 0;
      for (let i = 2 * row; i < Math.min(2 * row + 2, down); i++) {
        for (let j = 2 * column; j < Math.min(2 * column + 2, across); j++) {
          peak = Math.max(peak, max[i * across + j]);
          total += WEIGHT_OF_CODE[mean[i * across + j]];
          cells += 1;
        }
      }
      peaks[row * columns + column] = peak;
      means[row * columns + column] = codeOfWeight(total / cells);
    }
  }
  return { max: peaks, mean: means, down: rows, across: columns, tall: 2 * tall, wide: 2 * wide };
}

function largest(values) {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}

function largestOf(line, count) {
  const found = [];
  for (let index = 0; index < line.length; index++) {
    const weight = line[index];
    if (weight <= 0 || (found.length === count && weight <= found[count - 1].weight)) continue;
    let place = found.length;
    while (place > 0 && found[place - 1].weight < weight) place--;
    found.splice(place, 0, { index, weight });
    if (found.length > count) found.pop();
  }
  return found;
}

function entropies(weights, queries, keys) {
  const entropy = new Float32Array(queries);
  for (let i = 0; i < queries * keys; i++) {
    if (weights[i] > 0) entropy[Math.floor(i / keys)] -= weights[i] * Math.log(weights[i]);
  }
  return entropy;
}

function columnSums(weights, queries, keys) {
  const sums = new Float32Array(keys);
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) sums[key] += weights[query * keys + key];
  }
  return sums;
}
