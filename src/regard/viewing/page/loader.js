// Loading the matrices of a record: each is decoded when it is first looked at, and the latest are kept.

import { ArrayReader, WEIGHT_OF_CODE, encodeWeight, inflate } from "./codec.js";
import { CodedMatrix, DenseMatrix, mergeWords, select } from "./matrix.js";

/** @import { Head, Matrix, Metadata, Reduction, Source, TokenAxis, TokenOptions, TopK } from "./types" */

const CACHED = 64;
/** @type {TokenOptions} */
const AS_STORED = { hideSpecial: false, words: false };

export class MatrixLoader {
  /**
   * @param {Metadata} metadata
   * @param {Source} source
   */
  constructor(metadata, source) {
    this.metadata = metadata;
    this.source = source;
    /** @type {Map<string, Promise<Matrix>>} */
    this.cache = new Map(); // the least recently used first
  }

  /** @param {number} layer */
  layer(layer) {
    return this.metadata.layers[layer];
  }

  /** @param {string} name */
  axis(name) {
    return this.metadata.tokens[name];
  }

  /**
   * The matrix of one head, or of a reduction over heads, of a layer.
   * @param {number} layer
   * @param {{ head: Head } & TokenOptions} view blocks cannot be cut by token, so of them its options are ignored
   * @returns {Promise<Matrix>}
   */
  async load(layer, { head, hideSpecial, words }) {
    const { heads, storage } = this.layer(layer);
    if (heads === 1) head = 0;
    if (storage === "blocks" || (!hideSpecial && !words)) {
      return this.cached(`${layer}.${head}`, () => this.loadStored(layer, head));
    }
    return this.cached(`${layer}.${head}.${hideSpecial}.${words}`, async () => {
      // Words are merged before the maximum over heads: a maximum of sums is at most 1, a sum of maxima
      // may be more. (The mean may be taken before or after.)
      if (words && head === "max") return reduceDense(await this.loadHeads(layer, { hideSpecial, words }), "max");
      return this.withOptions(await this.load(layer, { head, ...AS_STORED }), layer, { hideSpecial, words });
    });
  }

  /**
   * @param {number} layer
   * @param {TokenOptions} options
   * @returns {Promise<Matrix[]>}
   */
  loadHeads(layer, options) {
    const heads = Array.from({ length: this.layer(layer).heads }, (_, head) => head);
    return Promise.all(heads.map((head) => this.load(layer, { head, ...options })));
  }

  /**
   * @param {Matrix} matrix of the layer, as stored
   * @param {number} layer
   * @param {TokenOptions} options
   */
  withOptions(matrix, layer, { hideSpecial, words }) {
    const [rows, columns] = [this.axis(this.layer(layer).queries), this.axis(this.layer(layer).keys)];
    if (words) matrix = mergeWords(matrix, rows, columns);
    if (hideSpecial) matrix = select(matrix, ordinary(specialMarks(rows, words)), ordinary(specialMarks(columns, words)));
    return matrix;
  }

  /**
   * The piece at which each row (or column) of a matrix over this axis begins.
   * @param {string} name
   * @param {TokenOptions} options
   */
  firstPieces(name, { hideSpecial, words }) {
    const axis = this.axis(name);
    const first = words ? axis.word_starts : axis.pieces.map((_, i) => i);
    return hideSpecial ? ordinary(specialMarks(axis, words)).map((i) => first[i]) : first;
  }

  /**
   * @param {string} name
   * @param {() => Promise<Matrix>} make
   */
  async cached(name, make) {
    const matrix = this.cache.get(name) ?? make();
    this.cache.delete(name);
    this.cache.set(name, matrix); // last, as the most recently used
    const [oldest] = this.cache.keys();
    if (this.cache.size > CACHED) this.cache.delete(oldest);
    return matrix;
  }

  /**
   * @param {number} layer
   * @param {Head} head
   * @returns {Promise<Matrix>}
   */
  async loadStored(layer, head) {
    const { storage } = this.layer(layer);
    if (typeof head === "number" || storage === "quantized") return this.decode(layer, head);
    const matrices = await this.loadHeads(layer, AS_STORED);
    return storage === "float32" ? reduceDense(matrices, head) : reduceBlocks(matrices, head);
  }

  /**
   * Decode a chunk. `pack.py` says in which order its arrays are.
   * @param {number} layer
   * @param {Head} head
   */
  async decode(layer, head) {
    const { storage, queries, keys, shape, grid, block_size, top_k: k } = this.layer(layer);
    const reader = new ArrayReader(await inflate(this.source.chunk(`${layer}.${head}`)));
    const [rows, columns] = [this.axis(queries).pieces, this.axis(keys).pieces];
    if (storage === "float32") return new DenseMatrix(rows, columns, reader.float32(shape[0] * shape[1]));
    const entropy = reader.float32(shape[0]);
    const received = reader.float32(shape[1]);
    const values = reader.float32(shape[0] * k);
    const topKeys = shape[1] > 65535 ? reader.uint32(shape[0] * k) : reader.uint16(shape[0] * k);
    const max = reader.uint8(grid[0] * grid[1]);
    const mean = storage === "quantized" ? max : reader.uint8(grid[0] * grid[1]);
    const level = {
      max, mean, rows: grid[0], columns: grid[1], blockRows: block_size[0], blockColumns: block_size[1],
    };
    const top = { values, keys: topKeys, k, approximate: false };
    return new CodedMatrix({ rows, columns, storage, level, top, entropy, received });
  }
}

/**
 * Which rows are special tokens; a word is special if its first piece is.
 * @param {TokenAxis} axis
 * @param {boolean} words
 */
function specialMarks(axis, words) {
  return words ? axis.word_starts.map((start) => axis.special[start]) : axis.special;
}

/**
 * The indices that are not special; all of them if every token is, as for the query of a pooling.
 * @param {boolean[]} special
 */
function ordinary(special) {
  const indices = special.flatMap((mark, i) => (mark ? [] : [i]));
  return indices.length ? indices : special.map((_, i) => i);
}

/**
 * The mean or maximum over heads whose every weight is known.
 * @param {Matrix[]} heads
 * @param {Reduction} reduction
 */
function reduceDense(heads, reduction) {
  const weights = reduceArrays(heads.map((matrix) => matrix.dense()), reduction);
  return new DenseMatrix(heads[0].rows, heads[0].columns, weights, heads.some((matrix) => matrix.approximate));
}

/**
 * The mean or maximum over heads stored as blocks.
 *
 * The mean of means is exact, and the mean of maxima bounds the maximum from above. The largest of each row
 * are chosen among those that the heads hold, so their numbers are marked as approximate. The entropy of the
 * reduced map and the maximum its keys received cannot be known from the heads': the means of theirs
 * are shown, and the page says so.
 * @param {Matrix[]} heads
 * @param {Reduction} reduction
 */
function reduceBlocks(heads, reduction) {
  const matrices = heads.filter((matrix) => matrix instanceof CodedMatrix);
  const { rows, columns, levels, top } = matrices[0];
  const [max, mean] = [levels[0].max.slice(), levels[0].mean.slice()];
  for (let i = 0; i < max.length; i++) {
    let [highest, average] = [0, 0];
    for (const matrix of matrices) {
      const headMax = WEIGHT_OF_CODE[matrix.levels[0].max[i]];
      const headMean = WEIGHT_OF_CODE[matrix.levels[0].mean[i]];
      highest = reduction === "max" ? Math.max(highest, headMax) : highest + headMax / matrices.length;
      average = reduction === "max" ? Math.max(average, headMean) : average + headMean / matrices.length;
    }
    max[i] = encodeWeight(highest);
    mean[i] = encodeWeight(average);
  }
  return new CodedMatrix({
    rows,
    columns,
    storage: "blocks",
    level: { ...levels[0], max, mean },
    top: reduceTopk(matrices, reduction, rows.length, top.k),
    entropy: reduceArrays(matrices.map((matrix) => matrix.entropy), "mean"),
    received: reduceArrays(matrices.map((matrix) => matrix.received), "mean"),
    headReduction: reduction,
  });
}

/**
 * The largest weights of each row after a reduction; a key that a head does not list counts as 0 there.
 * @param {CodedMatrix[]} matrices
 * @param {Reduction} reduction
 * @param {number} queries
 * @param {number} k
 * @returns {TopK}
 */
function reduceTopk(matrices, reduction, queries, k) {
  const values = new Float32Array(queries * k);
  const keys = new Uint32Array(queries * k);
  for (let query = 0; query < queries; query++) {
    /** @type {Map<number, number>} */
    const row = new Map();
    for (const matrix of matrices) {
      for (const { index, weight } of matrix.topOfRow(query, k)) {
        const before = row.get(index) ?? 0;
        row.set(index, reduction === "max" ? Math.max(before, weight) : before + weight / matrices.length);
      }
    }
    const best = [...row].sort((a, b) => b[1] - a[1]).slice(0, k);
    best.forEach(([key, weight], i) => {
      keys[query * k + i] = key;
      values[query * k + i] = weight;
    });
  }
  return { values, keys, k, approximate: reduction === "mean" };
}

/**
 * The mean or maximum of arrays, element by element.
 * @param {Float32Array[]} arrays
 * @param {Reduction} reduction
 */
function reduceArrays(arrays, reduction) {
  const result = new Float32Array(arrays[0].length);
  for (let i = 0; i < result.length; i++) {
    let value = 0;
    for (const array of arrays) value = reduction === "max" ? Math.max(value, array[i]) : value + array[i];
    result[i] = reduction === "max" ? value : value / arrays.length;
  }
  return result;
}
