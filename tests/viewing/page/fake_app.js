// An application with one matrix on screen, as far as a view needs it.

import { ColorScale } from "#viewing/colors.js";
import { CodedMatrix, DenseMatrix } from "#viewing/matrix.js";

/** @import { App } from "../../../src/regard/viewing/page/main.js" */
/** @import { Matrix, State } from "../../../src/regard/viewing/page/types" */

const hex = (/** @type {number} */ i) => i.toString(16).padStart(2, "0");

/** From black to white. */
export const colors = new ColorScale(Array.from({ length: 256 }, (_, i) => hex(i).repeat(3)).join(""));

/**
 * @param {Matrix} matrix
 * @param {Partial<State>} state
 * @returns {App}
 */
export function appWith(matrix, state = {}) {
  const full = { layer: 0, view: "map", scale: "linear", pool: "max", query: 0, key: 0, ...state };
  const app = {
    matrix, colors, state: full, cursor: { query: full.query, key: full.key ?? 0 }, found: { rows: new Set(), columns: new Set() },
    id: "test", metadata: { layers: [{ queries: "t", keys: "t" }], tokens: { t: { direction: "ltr" } } },
    set: () => {}, chooseQuery: (/** @type {number} */ query) => ({ query }),
  };
  return /** @type {App} */ (/** @type {unknown} */ (app));
}

/**
 * Weights that are all equal.
 * @param {number} queries
 * @param {number} keys
 */
export function uniform(queries, keys) {
  const names = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => `t${i}`);
  return new DenseMatrix(names(queries), names(keys), new Float32Array(queries * keys).fill(1 / keys));
}

/** 4 x 4 cells in 2 x 2 blocks, with the largest weight of each row. */
export const blocks = () => new CodedMatrix({
  rows: ["a", "b", "c", "d"], columns: ["w", "x", "y", "z"], storage: "blocks",
  level: { max: Uint8Array.of(255, 0, 0, 255), mean: Uint8Array.of(128, 0, 0, 128), rows: 2, columns: 2, blockRows: 2, blockColumns: 2 },
  top: { values: Float32Array.of(1, 0.5, 1, 0.5), keys: Uint16Array.of(1, 2, 3, 3), k: 1, approximate: false },
  entropy: new Float32Array(4), received: new Float32Array(4),
});
