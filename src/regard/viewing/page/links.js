// Links between tokens: queries on the left, keys on the right, curves between them.

import { fitText } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { Endpoint, Side, Surface } from "./types" */

export const LINE = 22; // pixels per token
const HEADER = 34; // pixels above the first token
const LINKS = 5; // of each query
const ACTIVE_LINKS = 12; // of the token that is pointed at, or chosen
const MIN_WEIGHT = 0.02; // of a link
const MIN_SHADE = 0.005; // a token with less weight is not shaded

export class LinksView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Endpoint | null} */
    this.hover = null;
    this.firstQuery = 0; // in view
    // From `layout`
    this.firstKey = 0; // in view
    this.rows = 0; // in view
    this.left = 0; // where links begin, in pixels
    this.right = 0; // where they end
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  layout(width, height) {
    const { matrix } = this.app;
    this.rows = Math.max(1, Math.floor((height - HEADER) / LINE));
    this.firstQuery = Math.max(0, Math.min(this.firstQuery, matrix.queries - this.rows));
    // Keys scroll along so that both ends of both texts are reached together.
    const travel = Math.max(1, matrix.queries - this.rows);
    const other = Math.max(0, matrix.keys - this.rows);
    this.firstKey = Math.round((this.firstQuery / travel) * other);
    this.left = Math.min(220, Math.round(width * 0.3));
    this.right = Math.min(width - this.left, this.left + 460);
  }

  /**
   * The token whose links are strong: the one pointed at, else the query chosen.
   * @returns {Endpoint}
   */
  get active() {
    return this.hover ?? { side: "rows", index: this.app.state.query };
  }

  /** @param {Surface} surface */
  draw(surface) {
    const { matrix, themeColors } = this.app;
    this.layout(surface.width, surface.height);
    const style = { size: 11, weight: 600, color: themeColors.muted };
    surface.text("queries", this.left - 12, 14, { ...style, align: "right" });
    surface.text("keys", this.right + 12, 14, style);
    surface.clip(this.left, 28, this.right - this.left, surface.height - 28, () => this.drawLinks(surface));
    const lastQuery = Math.min(matrix.queries, this.firstQuery + this.rows);
    const lastKey = Math.min(matrix.keys, this.firstKey + this.rows);
    const max = this.topOf(this.active, 1)[0]?.weight ?? 1;
    for (let i = this.firstQuery; i < lastQuery; i++) this.drawToken(surface, "rows", i, max);
    for (let i = this.firstKey; i < lastKey; i++) this.drawToken(surface, "columns", i, max);
  }

  /** @param {Surface} surface */
  drawLinks(surface) {
    const { matrix } = this.app;
    const { side, index: active } = this.active;
    for (let query = this.firstQuery; query < Math.min(matrix.queries, this.firstQuery + this.rows); query++) {
      if (side === "rows" && active === query) continue;
      for (const { index, weight } of matrix.topOfRow(query, LINKS)) {
        if (weight >= MIN_WEIGHT) this.drawLink(surface, query, index, weight, 0.22);
      }
    }
    // The strongest are drawn last, on top.
    for (const { index, weight } of this.topOf(this.active, ACTIVE_LINKS).reverse()) {
      const [query, key] = side === "rows" ? [active, index] : [index, active];
      this.drawLink(surface, query, key, weight, 1);
    }
  }

  /**
   * @param {Surface} surface
   * @param {number} query
   * @param {number} key
   * @param {number} weight
   * @param {number} opacity
   */
  drawLink(surface, query, key, weight, opacity) {
    const { colors, matrix, state } = this.app;
    const max = state.scale === "row" ? matrix.rowMaxima()[query] : matrix.max;
    const level = colors.normalize(weight, max, state.scale);
    const color = colors.colors[Math.round(255 * (0.25 + 0.75 * level))]; // paler could not be seen
    const [from, to] = [lineOf(query, this.firstQuery), lineOf(key, this.firstKey)];
    surface.curve(this.left, from, this.right, to, { color, line: 0.6 + 6 * level, opacity });
  }

  /**
   * @param {Surface} surface
   * @param {Side} side
   * @param {number} index
   * @param {number} max the largest weight of the active token
   */
  drawToken(surface, side, index, max) {
    const { matrix, state, found, themeColors, colors } = this.app;
    const queries = side === "rows";
    const active = this.active.side === side && this.active.index === index;
    const weight = this.linkWeight(side, index);
    const y = lineOf(index, queries ? this.firstQuery : this.firstKey);
    const fill = weight > 0 ? colors.color(weight, max, state.scale) : null;
    const x = queries ? 0 : this.right + 6;
    const width = queries ? this.left - 6 : surface.width - this.right - 6;
    if (fill && !active) surface.rect(x, y - 9, width, 18, { fill, radius: 4 });
    if (active) surface.rect(x + 1, y - 9, width - 2, 18, { stroke: themeColors.cursor, line: 2, radius: 4 });
    const plain = found[side].has(index) ? themeColors.found : themeColors.text;
    const color = fill && !active ? colors.textColor(weight, max, state.scale) : plain;
    const text = fitText(matrix[side][index], width - 14, 13, active ? 650 : 400);
    surface.text(text, queries ? this.left - 13 : this.right + 13, y, {
      size: 13, weight: active ? 650 : 400, color, align: queries ? "right" : "left",
    });
  }

  /**
   * The weight between the active token and a token of the other side, or 0.
   * @param {Side} side
   * @param {number} index
   */
  linkWeight(side, index) {
    const { active } = this;
    const { matrix } = this.app;
    if (active.side === side) return 0;
    const { weight } = side === "columns" ? matrix.weight(active.index, index) : matrix.weight(index, active.index);
    return weight >= MIN_SHADE ? weight : 0;
  }

  /**
   * The largest weights of a token's row or column.
   * @param {Endpoint} endpoint
   * @param {number} count
   */
  topOf({ side, index }, count) {
    const { matrix } = this.app;
    return side === "rows" ? matrix.topOfRow(index, count) : matrix.topOfColumn(index, count);
  }

  /**
   * The token under a point, if any.
   * @param {number} x
   * @param {number} y
   * @returns {Endpoint | null}
   */
  hit(x, y) {
    const { matrix } = this.app;
    const row = Math.floor((y - HEADER) / LINE);
    if (row < 0) return null;
    if (x < this.left && row + this.firstQuery < matrix.queries) return { side: "rows", index: row + this.firstQuery };
    if (x > this.right && row + this.firstKey < matrix.keys) return { side: "columns", index: row + this.firstKey };
    return null;
  }

  /** @param {number} lines */
  scroll(lines) {
    this.firstQuery = Math.round(this.firstQuery + lines);
  }

  /** Bring the chosen query into view. */
  scrollToCursor() {
    const { query } = this.app.state;
    if (query < this.firstQuery) this.firstQuery = query;
    if (query >= this.firstQuery + this.rows) this.firstQuery = query - this.rows + 1;
  }
}

/**
 * Where the middle of a token's line is, in pixels.
 * @param {number} index
 * @param {number} first in view
 */
function lineOf(index, first) {
  return HEADER + (index - first + 0.5) * LINE;
}
