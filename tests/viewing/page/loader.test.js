// Loading: what a head, a reduction over heads, words and hidden tokens give, worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { WEIGHT_OF_CODE, encodeWeight } from "#viewing/codec.js";
import { MatrixLoader } from "#viewing/loader.js";

/** @import { LayerMap, Metadata, TokenAxis } from "../../../src/regard/viewing/page/types" */

const AS_STORED = { hideSpecial: false, words: false };

/**
 * Arrays as `pack.py` packs them.
 * @param {(Float32Array | Uint16Array | Uint8Array)[]} arrays
 */
function chunk(...arrays) {
  const parts = arrays.map((array) => {
    const width = array.BYTES_PER_ELEMENT;
    const bytes = new Uint8Array(array.buffer);
    return Uint8Array.from(bytes, (_, i) => bytes[(i % array.length) * width + Math.floor(i / array.length)]);
  });
  return deflateSync(Buffer.concat(parts)).toString("base64");
}

/**
 * @param {string[]} pieces
 * @param {Partial<TokenAxis>} more
 * @returns {TokenAxis}
 */
function axis(pieces, more = {}) {
  return { pieces, special: pieces.map(() => false), word_starts: pieces.map((_, i) => i), words: pieces, direction: "ltr", ...more };
}

/**
 * @param {Partial<LayerMap>} layer
 * @param {Record<string, TokenAxis>} tokens
 * @param {Record<string, string>} chunks
 */
function loaderOf(layer, tokens, chunks) {
  /** @type {string[]} */
  const opened = [];
  /** @type {Metadata} */
  const metadata = {
    title: "", reading: "", notes: [], verdict: "", tokens, prediction: null, explanation: null,
    palettes: { light: "", dark: "" }, against: { light: "", dark: "" }, thumbnail_size: 40,
    layers: [{
      label: "encoder 1", queries: "q", keys: "k", heads: 1, members: 1, head_names: ["head 1"], shape: [1, 1], storage: "float32", grid: [1, 1], block_size: [1, 1],
      top_k: 1, mean_entropy: [0], ...layer,
    }],
  };
  const source = {
    chunk: (/** @type {string} */ name) => {
      opened.push(name);
      return chunks[name];
    },
  };
  return { loader: new MatrixLoader(metadata, source), opened };
}

// Two heads over "<s> play house" -> "Spiel haus </s>", where "playhouse" and "Spielhaus" are words of two pieces.
const tokens = {
  q: axis(["<s>", "play", "house"], { special: [true, false, false], word_starts: [0, 1], words: ["<s>", "playhouse"] }),
  k: axis(["Spiel", "haus", "</s>"], { special: [false, false, true], word_starts: [0, 2], words: ["Spielhaus", "</s>"] }),
};
const dense = () => loaderOf({ heads: 2, shape: [3, 3], top_k: 3 }, tokens, {
  "0.0": chunk(Float32Array.of(0, 0, 1, 0.5, 0.25, 0.25, 0.25, 0.75, 0)),
  "0.1": chunk(Float32Array.of(0, 1, 0, 0.25, 0.5, 0.25, 0.5, 0.25, 0.25)),
});

test("a head is decoded, and only once", async () => {
  const { loader, opened } = dense();
  const matrix = await loader.load(0, { head: 1, ...AS_STORED });
  assert.deepEqual(matrix.rowWeights(1), Float32Array.of(0.25, 0.5, 0.25));
  assert.deepEqual(matrix.rows, ["<s>", "play", "house"]);
  assert.equal(await loader.load(0, { head: 1, ...AS_STORED }), matrix);
  assert.deepEqual(opened, ["0.1"]);
});

test("mean and maximum over heads", async () => {
  const { loader } = dense();
  const mean = await loader.load(0, { head: "mean", ...AS_STORED });
  assert.deepEqual(mean.dense(), Float32Array.of(0, 0.5, 0.5, 0.375, 0.375, 0.25, 0.375, 0.5, 0.125));
  const max = await loader.load(0, { head: "max", ...AS_STORED });
  assert.deepEqual(max.dense(), Float32Array.of(0, 1, 1, 0.5, 0.5, 0.25, 0.5, 0.75, 0.25));
  assert.deepEqual(max.weight(0, 1), { weight: 1, exact: true });
});

test("words are merged before the maximum over heads", async () => {
  const { loader } = dense();
  const words = await loader.load(0, { head: "max", hideSpecial: false, words: true });
  assert.deepEqual([words.rows, words.columns], [["<s>", "playhouse"], ["Spielhaus", "</s>"]]);
  // Head 1: rows (0, 1) and means of (0.75, 0.25), (1, 0); head 2: rows (1, 0) and means of (0.75, 0.25), (0.75, 0.25).
  assert.deepEqual(words.dense(), Float32Array.of(1, 1, 0.875, 0.25));
});

test("special tokens are hidden, as pieces and as words", async () => {
  const { loader } = dense();
  const pieces = await loader.load(0, { head: 0, hideSpecial: true, words: false });
  assert.deepEqual([pieces.rows, pieces.columns], [["play", "house"], ["Spiel", "haus"]]);
  assert.deepEqual(pieces.dense(), Float32Array.of(0.5, 0.25, 0.25, 0.75));
  const words = await loader.load(0, { head: 0, hideSpecial: true, words: true });
  assert.deepEqual([words.rows, words.columns], [["playhouse"], ["Spielhaus"]]);
  assert.deepEqual(words.dense(), Float32Array.of(0.875));
});

test("tokens that are all special stay", async () => {
  const pooling = { q: axis(["reader"], { special: [true] }), k: axis(["<s>", "good"], { special: [true, false] }) };
  const { loader } = loaderOf({ shape: [1, 2] }, pooling, { "0.0": chunk(Float32Array.of(0.25, 0.75)) });
  const matrix = await loader.load(0, { head: "mean", hideSpecial: true, words: false }); // of one head, that head
  assert.deepEqual([matrix.rows, matrix.columns], [["reader"], ["good"]]);
});

test("the first piece of each row on screen", () => {
  const { loader } = dense();
  assert.deepEqual(loader.firstPieces("q", AS_STORED), [0, 1, 2]);
  assert.deepEqual(loader.firstPieces("q", { hideSpecial: true, words: false }), [1, 2]);
  assert.deepEqual(loader.firstPieces("q", { hideSpecial: false, words: true }), [0, 1]);
  assert.deepEqual(loader.firstPieces("k", { hideSpecial: true, words: true }), [0]);
});

test("the matrices that were looked at last are kept", async () => {
  const heads = 70;
  const chunks = Object.fromEntries(Array.from({ length: heads }, (_, i) => [`0.${i}`, chunk(Float32Array.of(i / heads))]));
  const { loader, opened } = loaderOf({ heads }, { q: axis(["a"]), k: axis(["x"]) }, chunks);
  for (let head = 0; head < 64; head++) await loader.load(0, { head, ...AS_STORED });
  await loader.load(0, { head: 0, ...AS_STORED }); // is now used last
  await loader.load(0, { head: 64, ...AS_STORED });
  assert.equal(opened.length, 65);
  await loader.load(0, { head: 0, ...AS_STORED });
  assert.equal(opened.length, 65);
  await loader.load(0, { head: 1, ...AS_STORED }); // was used first, and made room
  assert.equal(opened.length, 66);
});

test("quantized maps have their own chunk for each reduction", async () => {
  const arrays = (/** @type {number} */ weight) => chunk(
    Float32Array.of(0.5), Float32Array.of(weight, 1 - weight), Float32Array.of(weight), Uint16Array.of(0),
    Uint8Array.of(encodeWeight(weight), encodeWeight(1 - weight)));
  /** @type {Partial<LayerMap>} */
  const layer = { heads: 2, shape: [1, 2], storage: "quantized", grid: [1, 2] };
  const { loader, opened } = loaderOf(layer, { q: axis(["a"]), k: axis(["x", "y"]) }, { "0.mean": arrays(0.75), "0.0": arrays(0.5) });
  const mean = await loader.load(0, { head: "mean", ...AS_STORED });
  assert.deepEqual(mean.weight(0, 0), { weight: 0.75, exact: true });
  assert.deepEqual(mean.weight(0, 1), { weight: WEIGHT_OF_CODE[encodeWeight(0.25)], exact: false });
  assert.deepEqual([mean.entropy[0], ...mean.received], [0.5, 0.75, 0.25]);
  assert.equal(mean.approximate, false);
  assert.deepEqual(opened, ["0.mean"]);
});

test("a reduction over heads that are stored as blocks", async () => {
  // Codes whose weights are powers of ten, so that means can be worked by hand: 255 is 1, 128 is 1e-4.
  const head = (/** @type {{ values: number[], keys: number[], max: number, mean: number, entropy: number }} */ { values, keys, max, mean, entropy }) =>
    chunk(Float32Array.of(entropy), Float32Array.of(0.5, 0.5), Float32Array.from(values), Uint16Array.from(keys), Uint8Array.of(max), Uint8Array.of(mean));
  /** @type {Partial<LayerMap>} */
  const layer = { heads: 2, shape: [1, 2], storage: "blocks", grid: [1, 1], block_size: [1, 2], top_k: 2 };
  const { loader } = loaderOf(layer, { q: axis(["a"]), k: axis(["x", "y"]) }, {
    "0.0": head({ values: [0.75, 0.25], keys: [0, 1], max: 255, mean: 128, entropy: 1 }),
    "0.1": head({ values: [0.5, 0], keys: [1, 0], max: 128, mean: 128, entropy: 2 }),
  });
  const mean = await loader.load(0, { head: "mean", ...AS_STORED });
  assert.deepEqual(mean.topOfRow(0, 9), [{ index: 0, weight: 0.375, exact: false }, { index: 1, weight: 0.375, exact: false }]);
  assert.equal(mean.code(0, 0, "max"), encodeWeight((1 + 1e-4) / 2));
  assert.equal(mean.code(0, 0, "mean"), 128);
  assert.equal(mean.entropy[0], 1.5);
  assert.equal(mean.headReduction, "mean");
  const max = await loader.load(0, { head: "max", hideSpecial: true, words: true }); // blocks cannot be cut by token
  assert.deepEqual(max.topOfRow(0, 9), [{ index: 0, weight: 0.75, exact: true }, { index: 1, weight: 0.5, exact: true }]);
  assert.equal(max.code(0, 0, "max"), 255);
  assert.equal(max.headReduction, "max");
});
