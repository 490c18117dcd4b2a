// What is on screen as PNG or SVG, and its numbers as CSV.

import { h } from "./dom.js";
import { CanvasSurface, SvgSurface } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { Explanation, Matrix } from "./types" */

const MAX_CELLS = 1 << 22; // of a CSV with every cell; of a larger matrix it lists the largest of each row
const LISTED = 32; // weights of each row then
const PNG_RATIO = 2; // pixels of the file per CSS pixel
const KEPT_MS = 60_000; // how long the browser may take to begin a download

/**
 * Download what is on screen.
 * @param {App} app
 * @param {"png" | "svg" | "csv"} format
 */
export function download(app, format) {
  const name = `${(app.metadata.title || "attention").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.${format}`;
  if (format === "csv") {
    const { explanation } = app.metadata;
    const text = app.state.view === "attributions" && explanation ? scoresCsv(explanation) : csv(app.matrix);
    return saveAs(new Blob(["\ufeff", text], { type: "text/csv" }), name);
  }
  const { view, width, height } = app.picture();
  const fill = app.themeColors.background;
  if (format === "svg") {
    const surface = new SvgSurface(width, height);
    surface.rect(0, 0, width, height, { fill });
    view.draw(surface);
    return saveAs(new Blob([surface.toString()], { type: "image/svg+xml" }), name);
  }
  const canvas = h("canvas");
  const surface = new CanvasSurface(canvas, width, height, PNG_RATIO);
  surface.rect(0, 0, width, height, { fill });
  view.draw(surface);
  return canvas.toBlob((blob) => blob && saveAs(blob, name));
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function saveAs(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/**
 * A matrix as CSV: keys as its header and a line for each query; of a large one, a line for each weight that is exact.
 * @param {Matrix} matrix
 */
export function csv(matrix) {
  const lines = [];
  if (matrix.storage === "blocks" || matrix.queries * matrix.keys > MAX_CELLS) {
    lines.push("query,query token,key,key token,weight");
    for (let query = 0; query < matrix.queries; query++) {
      for (const { index, weight } of matrix.topOfRow(query, LISTED)) {
        lines.push([query + 1, quoted(matrix.rows[query]), index + 1, quoted(matrix.columns[index]), weight].join(","));
      }
    }
  } else {
    lines.push(["", ...matrix.columns.map(quoted)].join(","));
    for (let query = 0; query < matrix.queries; query++) {
      const weights = Array.from(matrix.rowWeights(query), (weight) => Number(weight.toPrecision(7)));
      lines.push([quoted(matrix.rows[query]), ...weights].join(","));
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * The scores of an explanation as CSV: a line for each word, a column for each method; empty where not measured.
 * @param {Explanation} explanation
 */
export function scoresCsv({ words, attributions }) {
  const lines = [["word", ...attributions.map(({ name }) => name)].map(quoted).join(",")];
  words.forEach((word, i) => lines.push([quoted(word), ...attributions.map(({ values }) => values[i] ?? "")].join(",")));
  return `${lines.join("\r\n")}\r\n`;
}

/** @param {string} text */
function quoted(text) {
  return `"${text.replaceAll('"', '""')}"`;
}
