// The map: queries down, keys across, from a whole 32k x 32k matrix to single cells with their numbers.

import { PixelTables } from "./colors.js";
import { h } from "./dom.js";
import { contextOf, fitText, textWidth } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { Level, Side, Surface, TopK } from "./types" */

const MAX_SCALE = 40; // pixels per token
const GRID_SCALE = 12; // pixels per token from which lines part the cells
const NUMBER_SCALE = 27; // pixels per token from which cells hold their numbers
const LEGEND = 34; // pixels below the map
const MARGIN = [44, 132]; // least and most pixels for the names of tokens
const LABEL_DISTANCE = 15; // pixels, so that labels never touch
const MEASURED = 300; // tokens whose names decide how wide the margin is
const MIN_NUMBER = 0.005; // a smaller weight would read 0

export class MapView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.buffer = h("canvas");
    this.fit = true; // all in view, until somebody zooms or pans
    // The first row and column in view, and pixels per token
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    // Where the cells are drawn, in pixels; from `layout`
    this.left = 0;
    this.top = 0;
    this.width = 0;
    this.height = 0;
    this.minScale = 0;
  }

  /**
   * Place the map on a surface.
   * @param {number} width
   * @param {number} height
   */
  layout(width, height) {
    const { matrix } = this.app;
    this.left = Math.min(marginFor(matrix.rows), Math.round(width * 0.32));
    this.top = marginFor(matrix.columns);
    this.width = width - this.left - 8;
    this.height = height - this.top - LEGEND;
    this.minScale = Math.min(MAX_SCALE, this.width / matrix.keys, this.height / matrix.queries);
    if (this.fit) [this.x, this.y, this.scale] = [0, 0, this.minScale];
    this.clamp();
  }

  /** Keep the matrix in view. */
  clamp() {
    const { matrix } = this.app;
    this.scale = Math.min(MAX_SCALE, Math.max(this.minScale, this.scale));
    this.x = Math.max(0, Math.min(this.x, matrix.keys - this.width / this.scale));
    this.y = Math.max(0, Math.min(this.y, matrix.queries - this.height / this.scale));
  }

  /** @param {Surface} surface */
  draw(surface) {
    const { matrix, themeColors } = this.app;
    this.layout(surface.width, surface.height);
    const width = Math.min(this.width, (matrix.keys - this.x) * this.scale);
    const height = Math.min(this.height, (matrix.queries - this.y) * this.scale);
    surface.clip(this.left, this.top, width, height, () => {
      this.drawCells(surface);
      if (this.scale >= GRID_SCALE) this.drawGrid(surface, width, height);
      if (this.scale >= NUMBER_SCALE) this.drawNumbers(surface);
      this.drawCursor(surface, width, height);
    });
    surface.rect(this.left - 0.5, this.top - 0.5, width + 1, height + 1, { stroke: themeColors.border });
    this.drawLabels(surface, "rows");
    this.drawLabels(surface, "columns");
    this.drawLegend(surface, this.top + height + 20);
  }

  /**
   * The cells in view: one for each token where a token has a pixel, else one for each block.
   * @param {Surface} surface
   */
  drawCells(surface) {
    const { matrix } = this.app;
    const level = matrix.levelFor(this.scale);
    const single = this.scale >= 1;
    const [down, across] = single ? [matrix.queries, matrix.keys] : [level.rows, level.columns];
    const [perRow, perColumn] = single ? [1, 1] : [level.blockRows, level.blockColumns];
    const row = Math.floor(this.y / perRow);
    const column = Math.floor(this.x / perColumn);
    const rows = Math.min(down, Math.ceil((this.y + this.height / this.scale) / perRow)) - row;
    const columns = Math.min(across, Math.ceil((this.x + this.width / this.scale) / perColumn)) - column;
    const picture = single ? this.tokenImage(row, column, rows, columns) : this.blockImage(level, row, column, rows, columns);
    this.buffer.width = columns;
    this.buffer.height = rows;
    contextOf(this.buffer).putImageData(picture, 0, 0);
    const x = this.left + (column * perColumn - this.x) * this.scale;
    const y = this.top + (row * perRow - this.y) * this.scale;
    const [cellHeight, cellWidth] = [perRow * this.scale, perColumn * this.scale];
    surface.image(this.buffer, [0, 0, columns, rows], [x, y, columns * cellWidth, rows * cellHeight]);
  }

  /**
   * One pixel for each cell.
   * @param {number} row
   * @param {number} column
   * @param {number} rows
   * @param {number} columns
   */
  tokenImage(row, column, rows, columns) {
    const { matrix } = this.app;
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const [level] = matrix.levels;
    const codes = level[matrix.storage === "blocks" && this.scale >= 2 ? "mean" : this.app.state.pool];
    const blockOf = Int32Array.from({ length: columns }, (_, i) => Math.floor((column + i) / level.blockColumns));
    const tables = this.pixelTables();
    for (let i = 0; i < rows; i++) {
      const table = tables.forRow(() => matrix.rowMaxima()[row + i]);
      const start = Math.floor((row + i) / level.blockRows) * level.columns;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table[codes[start + blockOf[j]]];
      if (matrix.storage !== "blocks") continue;
      this.overlayTop(matrix.top, pixels.subarray(i * columns, (i + 1) * columns), row + i, column);
    }
    return picture;
  }

  /**
   * The largest weights of a row, exactly placed over its block means.
   * @param {TopK} top
   * @param {Uint32Array} pixels of the columns in view
   * @param {number} query
   * @param {number} column the first in view
   */
  overlayTop({ values, keys, k }, pixels, query, column) {
    const { colors, state } = this.app;
    const max = this.maxOf(query);
    for (let i = query * k; i < (query + 1) * k; i++) {
      const j = keys[i] - column;
      if (j >= 0 && j < pixels.length && values[i] > 0) pixels[j] = colors.pixels[colors.index(values[i], max, state.scale)];
    }
  }

  /**
   * One pixel for each block of a level.
   * @param {Level} level
   * @param {number} row
   * @param {number} column
   * @param {number} rows
   * @param {number} columns
   */
  blockImage(level, row, column, rows, columns) {
    const { matrix, state } = this.app;
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const codes = level[state.pool];
    const tables = this.pixelTables();
    for (let i = 0; i < rows; i++) {
      const table = tables.forRow(() => matrix.rowMaxima()[(row + i) * level.blockRows]);
      const start = (row + i) * level.columns + column;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table[codes[start + j]];
    }
    return picture;
  }

  pixelTables() {
    const { matrix, colors, state } = this.app;
    return new PixelTables(colors, state.scale, matrix.max);
  }

  /**
   * The maximum of the colour scale in a row.
   * @param {number} query
   */
  maxOf(query) {
    const { matrix, state } = this.app;
    return state.scale === "row" ? matrix.rowMaxima()[query] : matrix.max;
  }

  /**
   * @param {Surface} surface
   * @param {number} width
   * @param {number} height
   */
  drawGrid(surface, width, height) {
    const fill = this.app.themeColors.background;
    for (let x = (Math.ceil(this.x) - this.x) * this.scale; x <= width; x += this.scale) {
      surface.rect(this.left + x - 0.5, this.top, 1, height, { fill });
    }
    for (let y = (Math.ceil(this.y) - this.y) * this.scale; y <= height; y += this.scale) {
      surface.rect(this.left, this.top + y - 0.5, width, 1, { fill });
    }
  }

  /** @param {Surface} surface */
  drawNumbers(surface) {
    const { matrix, colors, state } = this.app;
    const { rows, columns } = this.visible();
    for (let query = rows[0]; query < rows[1]; query++) {
      const max = this.maxOf(query);
      for (let key = columns[0]; key < columns[1]; key++) {
        const { weight } = matrix.weight(query, key);
        if (weight < MIN_NUMBER) continue;
        const [x, y] = this.toPixels(query + 0.5, key + 0.5);
        const color = colors.textColor(weight, max, state.scale);
        surface.text(`${Math.round(weight * 100)}`, x, y, { size: 11, color, align: "center" });
      }
    }
  }

  /**
   * @param {Surface} surface
   * @param {number} width
   * @param {number} height
   */
  drawCursor(surface, width, height) {
    const { query, key } = this.app.cursor;
    const [x, y] = this.toPixels(query, key);
    const size = Math.max(this.scale, 5);
    const shift = (size - this.scale) / 2;
    const color = this.app.themeColors.cursor;
    surface.rect(this.left, y + this.scale / 2 - 0.5, width, 1, { fill: `${color}55` });
    surface.rect(x + this.scale / 2 - 0.5, this.top, 1, height, { fill: `${color}55` });
    surface.rect(x - shift, y - shift, size, size, { stroke: color, line: 2, radius: 2 });
  }

  /**
   * The names of tokens, as many as fit; the cursor's always, and a mark at each that was found.
   * @param {Surface} surface
   * @param {Side} side
   */
  drawLabels(surface, side) {
    const { matrix, cursor, found, themeColors } = this.app;
    const active = side === "rows" ? cursor.query : cursor.key;
    const [first, last] = this.visible()[side];
    const step = Math.max(1, Math.ceil(LABEL_DISTANCE / this.scale));
    /** @param {number} i */
    const offsetOf = (i) => ((i + 0.5) - (side === "rows" ? this.y : this.x)) * this.scale;
    /** @type {Map<number, number>} */
    const offsets = new Map();
    for (let i = Math.ceil(first / step) * step; i < last; i += step) offsets.set(i, offsetOf(i));
    if (active >= first && active < last) {
      const own = offsetOf(active);
      for (const [i, other] of offsets) if (Math.abs(other - own) < LABEL_DISTANCE && i !== active) offsets.delete(i);
      offsets.set(active, own);
    }
    for (const [i, offset] of offsets) {
      this.drawLabel(surface, side, matrix[side][i], offset, i === active, found[side].has(i));
    }
    for (const i of found[side]) {
      if (i < first || i >= last) continue;
      if (side === "rows") surface.rect(this.left - 5, this.top + offsetOf(i) - 1.5, 4, 3, { fill: themeColors.found });
      else surface.rect(this.left + offsetOf(i) - 1.5, this.top - 5, 3, 4, { fill: themeColors.found });
    }
  }

  /**
   * @param {Surface} surface
   * @param {Side} side
   * @param {string} piece
   * @param {number} offset from the first cell in view, in pixels
   * @param {boolean} active
   * @param {boolean} found
   */
  drawLabel(surface, side, piece, offset, active, found) {
    const { themeColors } = this.app;
    const [size, weight] = [12, active || found ? 650 : 400];
    const color = active ? themeColors.cursor : found ? themeColors.found : themeColors.text;
    const room = (side === "rows" ? this.left : this.top) - 12;
    const text = fitText(piece, room, size, weight);
    const style = { size, weight, color };
    if (side === "rows") surface.text(text, this.left - 8, this.top + offset, { ...style, align: "right" });
    else surface.text(text, this.left + offset, this.top - 8, { ...style, turn: -90 });
  }

  /**
   * @param {Surface} surface
   * @param {number} y
   */
  drawLegend(surface, y) {
    const { matrix, colors, state, themeColors } = this.app;
    const [x, width] = [this.left, 132];
    for (let i = 0; i < 66; i++) surface.rect(x + 2 * i, y - 4, 2.2, 8, { fill: colors.colors[Math.round((i * 255) / 65)] });
    const low = state.scale === "log" ? `≤ ${(matrix.max / 1e4).toPrecision(2)}` : "0";
    const high = state.scale === "row" ? "largest of its row" : matrix.max.toPrecision(3);
    surface.text(low, x - 6, y, { size: 11, color: themeColors.muted, align: "right" });
    surface.text(high, x + width + 6, y, { size: 11, color: themeColors.muted });
    const blocks = matrix.storage === "blocks";
    const pooled = this.scale < 1 || (blocks && this.scale < 2);
    const note = pooled
      ? `${state.pool === "max" ? "largest" : "mean"} of each block`
      : blocks ? "block means, largest of each row exact" : "";
    if (note && width + 260 < surface.width - x) {
      surface.text(note, surface.width - 8, y, { size: 11, color: themeColors.muted, align: "right" });
    }
  }

  /**
   * The rows and columns in view, each from the first to before the last.
   * @returns {Record<Side, [number, number]>}
   */
  visible() {
    const { matrix } = this.app;
    return {
      rows: [Math.floor(this.y), Math.min(matrix.queries, Math.ceil(this.y + this.height / this.scale))],
      columns: [Math.floor(this.x), Math.min(matrix.keys, Math.ceil(this.x + this.width / this.scale))],
    };
  }

  /**
   * Where the upper left corner of a cell is drawn.
   * @param {number} query
   * @param {number} key
   */
  toPixels(query, key) {
    return [this.left + (key - this.x) * this.scale, this.top + (query - this.y) * this.scale];
  }

  /**
   * The cell under a point, if any. Beside the map it is the row (or column) there and the cursor's column (or row).
   * @param {number} x
   * @param {number} y
   */
  hit(x, y) {
    const { matrix, cursor } = this.app;
    const key = Math.floor(this.x + (x - this.left) / this.scale);
    const query = Math.floor(this.y + (y - this.top) / this.scale);
    const inside = x >= 0 && y >= 0 && query < matrix.queries && key < matrix.keys;
    if (!inside || (x < this.left && y < this.top)) return null;
    return { query: y < this.top ? cursor.query : Math.max(0, query), key: x < this.left ? cursor.key : Math.max(0, key) };
  }

  /**
   * @param {number} dx pixels
   * @param {number} dy
   */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.fit = false;
    this.clamp();
  }

  /**
   * Zoom so that the token under a point stays under it.
   * @param {number} factor
   * @param {number} x
   * @param {number} y
   */
  zoom(factor, x, y) {
    const scale = Math.min(MAX_SCALE, Math.max(this.minScale, this.scale * factor));
    const [dx, dy] = [Math.max(0, x - this.left), Math.max(0, y - this.top)];
    this.x += dx / this.scale - dx / scale;
    this.y += dy / this.scale - dy / scale;
    this.scale = scale;
    this.fit = scale === this.minScale;
    this.clamp();
  }

  /** Bring the cursor into view. */
  scrollToCursor() {
    const { query, key } = this.app.cursor;
    const [rows, columns] = [this.height / this.scale, this.width / this.scale];
    if (query < this.y) this.y = query;
    if (query + 1 > this.y + rows) this.y = query + 1 - rows;
    if (key < this.x) this.x = key;
    if (key + 1 > this.x + columns) this.x = key + 1 - columns;
    this.clamp();
  }
}

/**
 * Pixels for the names of tokens.
 * @param {string[]} pieces
 */
function marginFor(pieces) {
  let widest = 0;
  for (let i = 0; i < Math.min(pieces.length, MEASURED); i++) {
    widest = Math.max(widest, textWidth(pieces[i].slice(0, 40), 12, 650));
  }
  return Math.min(MARGIN[1], Math.max(MARGIN[0], Math.ceil(widest) + 14));
}
