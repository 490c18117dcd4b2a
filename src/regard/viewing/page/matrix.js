// One queries x keys matrix of attention weights, at whatever resolution it was stored.

import { WEIGHT_OF_CODE, encodeWeight, encodeWeights } from "./codec.js";

/** @import { IndexedWeight, Level, Matrix, Reduction, TopK, Weight } from "./types" */

const SMALLEST_MAX = 1e-8; // so that no colour scale divides by zero

/** What both kinds of matrix have: token names, statistics, and codes to draw at several resolutions. */
class CodedLevels {
  /**
   * @param {object} parts
   * @param {string[]} parts.rows the queries' tokens
   * @param {string[]} parts.columns the keys' tokens
   * @param {Float32Array} parts.entropy of each row, in nats
   * @param {Float32Array} parts.received sum of each column
   * @param {Level} parts.level the finest resolution
   * @param {number} parts.max the largest weight
   */
  constructor({ rows, columns, entropy, received, level, max }) {
    this.rows = rows;
    this.columns = columns;
    this.queries = rows.length;
    this.keys = columns.length;
    this.entropy = entropy;
    this.received = received;
    /** @type {Level[]} */
    this.levels = [level];
    this.max = Math.max(max, SMALLEST_MAX);
  }

  /**
   * The finest resolution at which a block covers at least one pixel; each level halves the one before.
   * @param {number} pixelsPerToken
   */
  levelFor(pixelsPerToken) {
    let index = 0;
    for (;;) {
      const level = this.levels[index];
      if (pixelsPerToken * level.blockColumns >= 1 || level.columns < 2 || level.rows < 2) return level;
      this.levels[++index] ??= halved(level);
    }
  }

  /**
   * The code that is drawn for one cell at the finest resolution.
   * @param {number} query
   * @param {number} key
   * @param {Reduction} pool
   */
  code(query, key, pool) {
    const level = this.levels[0];
    return level[pool][Math.floor(query / level.blockRows) * level.columns + Math.floor(key / level.blockColumns)];
  }
}

/** A matrix with every weight as float32. */
export class DenseMatrix extends CodedLevels {
  /**
   * @param {string[]} rows
   * @param {string[]} columns
   * @param {Float32Array} weights row after row
   * @param {boolean} approximate whether the weights were computed from byte codes
   */
  constructor(rows, columns, weights, approximate = false) {
    const codes = encodeWeights(weights);
    super({
      rows,
      columns,
      entropy: entropies(weights, rows.length, columns.length),
      received: columnSums(weights, rows.length, columns.length),
      level: { max: codes, mean: codes, rows: rows.length, columns: columns.length, blockRows: 1, blockColumns: 1 },
      max: largest(weights),
    });
    this.weights = weights;
    this.approximate = approximate;
    /** @type {"float32"} */
    this.storage = "float32";
    /** @type {Reduction | null} */
    this.headReduction = null; // statistics are those of these very weights
    /** @type {Float32Array | null} */
    this.maxima = null;
  }

  /**
   * A weight, and whether the number is exact.
   * @param {number} query
   * @param {number} key
   * @returns {Weight}
   */
  weight(query, key) {
    return { weight: this.weights[query * this.keys + key], exact: !this.approximate };
  }

  /**
   * The largest weights of a row, descending.
   * @param {number} query
   * @param {number} count
   * @returns {IndexedWeight[]}
   */
  topOfRow(query, count) {
    return topk(this.rowWeights(query), count).map((item) => ({ ...item, exact: !this.approximate }));
  }

  /**
   * The largest weights of a column, descending.
   * @param {number} key
   * @param {number} count
   */
  topOfColumn(key, count) {
    return topOfColumn(this, key, count);
  }

  /**
   * Every weight of a row.
   * @param {number} query
   */
  rowWeights(query) {
    return this.weights.subarray(query * this.keys, (query + 1) * this.keys);
  }

  /** The largest weight of each row. */
  rowMaxima() {
    return (this.maxima ??= rowMaxima(this));
  }

  /** All weights in one array, row after row. */
  dense() {
    return this.weights;
  }
}

/** A matrix as byte codes of cells ("quantized") or of blocks, with the largest weights of each row exactly. */
export class CodedMatrix extends CodedLevels {
  /**
   * @param {object} parts
   * @param {string[]} parts.rows
   * @param {string[]} parts.columns
   * @param {"quantized" | "blocks"} parts.storage
   * @param {Level} parts.level
   * @param {TopK} parts.top
   * @param {Float32Array} parts.entropy
   * @param {Float32Array} parts.received
   * @param {Reduction | null} [parts.headReduction] over heads, if the statistics are means of the heads'
   */
  constructor({ rows, columns, storage, level, top, entropy, received, headReduction = null }) {
    super({ rows, columns, entropy, received, level, max: largest(top.values) });
    this.storage = storage;
    this.top = top;
    this.headReduction = headReduction;
    this.approximate = false;
    /** @type {Float32Array | null} */
    this.maxima = null;
  }

  /**
   * A weight, and whether the number is exact.
   * @param {number} query
   * @param {number} key
   * @returns {Weight}
   */
  weight(query, key) {
    const { values, keys, k, approximate } = this.top;
    for (let i = query * k; i < (query + 1) * k; i++) {
      if (keys[i] === key) return { weight: values[i], exact: !approximate };
    }
    return { weight: WEIGHT_OF_CODE[this.code(query, key, "mean")], exact: false };
  }

  /**
   * The largest weights of a row, descending; at most as many as are stored.
   * @param {number} query
   * @param {number} count
   */
  topOfRow(query, count) {
    const { values, keys, k, approximate } = this.top;
    /** @type {IndexedWeight[]} */
    const found = [];
    for (let i = query * k; i < query * k + Math.min(count, k); i++) {
      if (values[i] > 0) found.push({ index: keys[i], weight: values[i], exact: !approximate });
    }
    return found;
  }

  /**
   * The largest weights of a column, descending. Of blocks, only those that are among the top of their rows.
   * @param {number} key
   * @param {number} count
   * @returns {IndexedWeight[]}
   */
  topOfColumn(key, count) {
    if (this.storage === "quantized") return topOfColumn(this, key, count);
    const { values, keys, k, approximate } = this.top;
    /** @type {IndexedWeight[]} */
    const found = [];
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === key && values[i] > 0) {
        found.push({ index: Math.floor(i / k), weight: values[i], exact: !approximate });
      }
    }
    return found.sort((a, b) => b.weight - a.weight).slice(0, count);
  }

  /**
   * Every weight of a row: the exact ones, and the values of codes for the rest.
   * @param {number} query
   */
  rowWeights(query) {
    const weights = new Float32Array(this.keys);
    for (let key = 0; key < this.keys; key++) weights[key] = WEIGHT_OF_CODE[this.code(query, key, "mean")];
    for (const { index, weight } of this.topOfRow(query, this.keys)) weights[index] = weight;
    return weights;
  }

  /** The largest weight of each row. */
  rowMaxima() {
    return (this.maxima ??= rowMaxima(this));
  }

  /** All weights in one array, row after row. Only of matrices whose every cell is stored. */
  dense() {
    const all = new Float32Array(this.queries * this.keys);
    for (let query = 0; query < this.queries; query++) all.set(this.rowWeights(query), query * this.keys);
    return all;
  }
}

/**
 * Some rows and columns of a matrix, by their indices.
 * @param {Matrix} matrix
 * @param {number[]} rows
 * @param {number[]} columns
 */
export function select(matrix, rows, columns) {
  const all = matrix.dense();
  const weights = new Float32Array(rows.length * columns.length);
  rows.forEach((row, i) => columns.forEach((column, j) => {
    weights[i * columns.length + j] = all[row * matrix.keys + column];
  }));
  return derived(matrix, rows.map((i) => matrix.rows[i]), columns.map((i) => matrix.columns[i]), weights);
}

/**
 * Pieces merged to words: the sum over the keys of a word, the mean over its queries.
 * @param {Matrix} matrix
 * @param {{ words: string[], word_starts: number[] }} rows
 * @param {{ words: string[], word_starts: number[] }} columns
 */
export function mergeWords(matrix, rows, columns) {
  const { queries, keys } = matrix;
  const all = matrix.dense();
  const width = columns.words.length;
  const weights = new Float32Array(rows.words.length * width);
  const rowWord = wordOfPiece(rows.word_starts, queries);
  const columnWord = wordOfPiece(columns.word_starts, keys);
  const sizes = rows.word_starts.map((start, i) => (rows.word_starts[i + 1] ?? queries) - start);
  for (let query = 0; query < queries; query++) {
    const row = rowWord[query];
    for (let key = 0; key < keys; key++) {
      weights[row * width + columnWord[key]] += all[query * keys + key] / sizes[row];
    }
  }
  return derived(matrix, rows.words, columns.words, weights);
}

/**
 * The word that each of `length` pieces belongs to, given the piece at which each word begins.
 * @param {number[]} starts
 * @param {number} length
 */
export function wordOfPiece(starts, length) {
  const words = new Int32Array(length);
  starts.forEach((start, word) => words.fill(word, start, starts[word + 1] ?? length));
  return words;
}

/**
 * @param {Matrix} matrix that the weights were computed from
 * @param {string[]} rows
 * @param {string[]} columns
 * @param {Float32Array} weights
 */
function derived(matrix, rows, columns, weights) {
  return new DenseMatrix(rows, columns, weights, matrix.approximate || matrix.storage !== "float32");
}

/**
 * A level of half the resolution: maxima of maxima, and means of means over 2 x 2 blocks.
 * @param {Level} level
 * @returns {Level}
 */
export function halved({ max, mean, rows, columns, blockRows, blockColumns }) {
  const [down, across] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  const maxima = new Uint8Array(down * across);
  const means = new Uint8Array(down * across);
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      let [highest, total, cells] = [0, 0, 0];
      for (let i = 2 * row; i < Math.min(2 * row + 2, rows); i++) {
        for (let j = 2 * column; j < Math.min(2 * column + 2, columns); j++) {
          highest = Math.max(highest, max[i * columns + j]);
          total += WEIGHT_OF_CODE[mean[i * columns + j]];
          cells += 1;
        }
      }
      maxima[row * across + column] = highest;
      means[row * across + column] = encodeWeight(total / cells);
    }
  }
  return {
    max: maxima, mean: means, rows: down, columns: across, blockRows: 2 * blockRows, blockColumns: 2 * blockColumns,
  };
}

/** @param {Float32Array} values */
function largest(values) {
  let result = 0;
  for (const value of values) if (value > result) result = value;
  return result;
}

/**
 * The `count` largest positive weights of an array, descending; the first of equal ones first.
 * @param {Float32Array} weights
 * @param {number} count
 */
export function topk(weights, count) {
  /** @type {{ index: number, weight: number }[]} */
  const found = [];
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index];
    if (weight <= 0 || (found.length === count && weight <= found[count - 1].weight)) continue;
    let rank = found.length;
    while (rank > 0 && found[rank - 1].weight < weight) rank--;
    found.splice(rank, 0, { index, weight });
    if (found.length > count) found.pop();
  }
  return found;
}

/**
 * @param {Matrix} matrix whose every cell is stored
 * @param {number} key
 * @param {number} count
 * @returns {IndexedWeight[]}
 */
function topOfColumn(matrix, key, count) {
  const column = new Float32Array(matrix.queries);
  for (let query = 0; query < matrix.queries; query++) column[query] = matrix.weight(query, key).weight;
  return topk(column, count).map((item) => ({ ...item, exact: matrix.weight(item.index, key).exact }));
}

/** @param {Matrix} matrix */
function rowMaxima(matrix) {
  return Float32Array.from({ length: matrix.queries }, (_, query) => matrix.topOfRow(query, 1)[0]?.weight ?? 0);
}

/**
 * @param {Float32Array} weights
 * @param {number} queries
 * @param {number} keys
 */
function entropies(weights, queries, keys) {
  const entropy = new Float32Array(queries);
  for (let i = 0; i < queries * keys; i++) {
    if (weights[i] > 0) entropy[Math.floor(i / keys)] -= weights[i] * Math.log(weights[i]);
  }
  return entropy;
}

/**
 * @param {Float32Array} weights
 * @param {number} queries
 * @param {number} keys
 */
function columnSums(weights, queries, keys) {
  const sums = new Float32Array(keys);
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) sums[key] += weights[query * keys + key];
  }
  return sums;
}
