// The map: queries down, keys across, from a whole 32k x 32k square to single cells with their numbers.

import { h } from "./dom.js";
import { fitted, widthOf } from "./surface.js";

const LARGEST = 40; // pixels a token gets at most
const LEGEND = 34;
const GUTTER = [44, 132];
const LABEL = 15; // pixels between labels so that they never touch

export class MapView {
  constructor(app) {
    this.app = app;
    this.buffer = h("canvas");
    this.fit = true; // follow the window until somebody zooms
    Object.assign(this, { x: 0, y: 0, scale: 1 });
  }

  // Where things are, in pixels.
  layout(width, height) {
    const { sheet } = this.app;
    const longest = (pieces) => {
      let most = 0;
      for (let i = 0; i < Math.min(pieces.length, 300); i++) most = Math.max(most, widthOf(pieces[i].slice(0, 40), 12, 650));
      return Math.min(GUTTER[1], Math.max(GUTTER[0], Math.ceil(most) + 14));
    };
    this.left = Math.min(longest(sheet.rows), Math.round(width * 0.32));
    this.top = longest(sheet.columns);
    this.wide = width - this.left - 8;
    this.tall = height - this.top - LEGEND;
    this.smallest = Math.min(LARGEST, this.wide / sheet.keys, this.tall / sheet.queries);
    if (this.fit) Object.assign(this, { x: 0, y: 0, scale: this.smallest });
    this.settle();
  }

  settle() {
    const { sheet } = this.app;
    this.scale = Math.min(LARGEST, Math.max(this.smallest, this.scale));
    this.x = Math.max(0, Math.min(this.x, sheet.keys - this.wide / this.scale));
    this.y = Math.max(0, Math.min(this.y, sheet.queries - this.tall / this.scale));
  }

  draw(surface) {
    const { sheet } = this.app;
    this.layout(surface.width, surface.height);
    const width = Math.min(this.wide, (sheet.keys - this.x) * this.scale);
    const height = Math.min(this.tall, (sheet.queries - this.y) * this.scale);
    surface.clip(this.left, this.top, width, height, () => {
      this.cells(surface);
      if (this.scale >= 12) this.grid(surface, width, height);
      if (this.scale >= 27) this.numbers(surface);
      this.cross(surface, width, height);
    });
    surface.rect(this.left - 0.5, this.top - 0.5, width + 1, height + 1, { stroke: this.app.ink.rule });
    this.labels(surface, "rows");
    this.labels(surface, "columns");
    this.legend(surface, this.top + height + 20);
  }

  // The cells in sight: token by token where a token has a pixel, block by block where it has not.
  cells(surface) {
    const { sheet } = this.app;
    const level = sheet.level(this.scale);
    const single = this.scale >= 1;
    const [down, across] = single ? [sheet.queries, sheet.keys] : [level.down, level.across];
    const [perRow, perColumn] = single ? [1, 1] : [level.tall, level.wide];
    const row = Math.floor(this.y / perRow);
    const column = Math.floor(this.x / perColumn);
    const rows = Math.min(down, Math.ceil((this.y + this.tall / this.scale) / perRow)) - row;
    const columns = Math.min(across, Math.ceil((this.x + this.wide / this.scale) / perColumn)) - column;
    const picture = single ? this.tokens(row, column, rows, columns) : this.blocks(level, row, column, rows, columns, perRow);
    this.buffer.width = columns;
    this.buffer.height = rows;
    this.buffer.getContext("2d").putImageData(picture, 0, 0);
    const [high, wide] = [perRow * this.scale, perColumn * this.scale];
    const place = [this.left + (column * perColumn - this.x) * this.scale, this.top + (row * perRow - this.y) * this.scale];
    surface.image(this.buffer, [0, 0, columns, rows], [...place, columns * wide, rows * high]);
  }

  tokens(row, column, rows, columns) {
    const { sheet } = this.app;
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const { across, tall, wide } = sheet.levels[0];
    const plane = sheet.levels[0][sheet.kept === "blocks" && this.scale >= 2 ? "mean" : this.app.state.pool];
    const blocks = Int32Array.from({ length: columns }, (_, i) => Math.floor((column + i) / wide));
    const tables = [];
    for (let i = 0; i < rows; i++) {
      const table = this.table(tables, row + i);
      const start = Math.floor((row + i) / tall) * across;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table[plane[start + blocks[j]]];
      if (sheet.kept === "blocks") this.spikes(pixels, i * columns, row + i, column, columns);
    }
    return picture;
  }

  // Over block means, the largest weights of the row at their exact places.
  spikes(pixels, start, query, column, columns) {
    const { app } = this;
    const { values, keys, count } = app.sheet.top;
    const peak = app.state.scale === "row" ? app.sheet.rowPeaks()[query] : app.sheet.peak;
    const scale = app.state.scale === "row" ? "linear" : app.state.scale;
    for (let i = query * count; i < (query + 1) * count; i++) {
      const place = keys[i] - column;
      if (place >= 0 && place < columns && values[i] > 0) {
        pixels[start + place] = app.shades.pixels[Math.round(255 * app.shades.level(values[i], peak, scale))];
      }
    }
  }

  blocks(level, row, column, rows, columns, perRow) {
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const plane = level[this.app.state.pool];
    const tables = [];
    for (let i = 0; i < rows; i++) {
      const table = this.table(tables, (row + i) * perRow);
      const start = (row + i) * level.across + column;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table[plane[start + j]];
    }
    return picture;
  }

  table(tables, query) {
    const { sheet, shades, state } = this.app;
    if (state.scale === "row") return shades.tableOfRow(tables, sheet.rowPeaks()[query]);
    return (tables.whole ??= shades.table(sheet.peak, state.scale));
  }

  grid(surface, width, height) {
    const color = this.app.ink.paper;
    for (let x = (Math.ceil(this.x) - this.x) * this.scale; x <= width; x += this.scale) {
      surface.rect(this.left + x - 0.5, this.top, 1, height, { fill: color });
    }
    for (let y = (Math.ceil(this.y) - this.y) * this.scale; y <= height; y += this.scale) {
      surface.rect(this.left, this.top + y - 0.5, width, 1, { fill: color });
    }
  }

  numbers(surface) {
    const { sheet, shades, state } = this.app;
    const [rows, columns] = this.sight();
    for (let query = rows[0]; query < rows[1]; query++) {
      const peak = state.scale === "row" ? sheet.rowPeaks()[query] : sheet.peak;
      const scale = state.scale === "row" ? "linear" : state.scale;
      for (let key = columns[0]; key < columns[1]; key++) {
        const { weight } = sheet.weight(query, key);
        if (weight < 0.005) continue;
        const [x, y] = this.place(query + 0.5, key + 0.5);
        surface.text(`${Math.round(weight * 100)}`, x, y, { size: 11, color: shades.ink(weight, peak, scale), align: "center" });
      }
    }
  }

  cross(surface, width, height) {
    const { query, key } = this.app.state;
    const [x, y] = this.place(query, key);
    const size = Math.max(this.scale, 5);
    const shift = (size - this.scale) / 2;
    const { cursor } = this.app.ink;
    surface.rect(this.left, y + this.scale / 2 - 0.5, width, 1, { fill: `${cursor}55` });
    surface.rect(x + this.scale / 2 - 0.5, this.top, 1, height, { fill: `${cursor}55` });
    surface.rect(x - shift, y - shift, size, size, { stroke: cursor, line: 2, radius: 2 });
  }

  labels(surface, side) {
    const { sheet, state, found, ink } = this.app;
    const pieces = sheet[side];
    const cursor = side === "rows" ? state.query : state.key;
    const [first, last] = this.sight()[side === "rows" ? 0 : 1];
    const step = Math.max(1, Math.ceil(LABEL / this.scale));
    const places = new Map();
    const at = (i) => ((i + 0.5) - (side === "rows" ? this.y : this.x)) * this.scale;
    for (let i = Math.ceil(first / step) * step; i < last; i += step) places.set(i, at(i));
    for (const i of [cursor]) {
      if (i < first || i >= last) continue;
      for (const [j, other] of places) if (Math.abs(other - at(i)) < LABEL && j !== i) places.delete(j);
      places.set(i, at(i));
    }
    for (const [i, offset] of places) this.label(surface, side, pieces[i], offset, i === cursor, found[side].has(i));
    for (const i of found[side]) {
      if (i < first || i >= last) continue;
      if (side === "rows") surface.rect(this.left - 5, this.top + at(i) - 1.5, 4, 3, { fill: ink.found });
      else surface.rect(this.left + at(i) - 1.5, this.top - 5, 3, 4, { fill: ink.found });
    }
  }

  label(surface, side, piece, offset, active, found) {
    const { ink } = this.app;
    const style = { size: 12, weight: active || found ? 650 : 400, color: active ? ink.cursor : found ? ink.found : ink.text };
    const room = (side === "rows" ? this.left : this.top) - 12;
    const text = fitted(piece, room, style.size, style.weight);
    if (side === "rows") surface.text(text, this.left - 8, this.top + offset, { ...style, align: "right" });
    else surface.text(text, this.left + offset, this.top - 8, { ...style, turn: -90 });
  }

  legend(surface, y) {
    const { sheet, shades, state, ink } = this.app;
    const [x, width] = [this.left, 132];
    for (let i = 0; i < 66; i++) surface.rect(x + 2 * i, y - 4, 2.2, 8, { fill: shades.colors[Math.round((i * 255) / 65)] });
    const low = state.scale === "log" ? `≤ ${(sheet.peak / 1e4).toPrecision(2)}` : "0";
    const high = state.scale === "row" ? "largest of its row" : sheet.peak.toPrecision(3);
    surface.text(low, x - 6, y, { size: 11, color: ink.muted, align: "right" });
    surface.text(high, x + width + 6, y, { size: 11, color: ink.muted });
    const pooled = this.scale < 1 || (sheet.kept === "blocks" && this.scale < 2);
    const how = pooled ? `${state.pool === "max" ? "largest" : "mean"} of each block` : sheet.kept === "blocks" ? "block means, largest of each row exact" : "";
    if (how && width + 260 < surface.width - x) surface.text(how, surface.width - 8, y, { size: 11, color: ink.muted, align: "right" });
  }

  // [first, last) rows and columns on screen.
  sight() {
    const { sheet } = this.app;
    return [
      [Math.floor(this.y), Math.min(sheet.queries, Math.ceil(this.y + this.tall / this.scale))],
      [Math.floor(this.x), Math.min(sheet.keys, Math.ceil(this.x + this.wide / this.scale))],
    ];
  }

  place(query, key) {
    return [this.left + (key - this.x) * this.scale, this.top + (query - this.y) * this.scale];
  }

  // The cell under a point, if any.
  hit(x, y) {
    const { sheet } = this.app;
    const key = Math.floor(this.x + (x - this.left) / this.scale);
    const query = Math.floor(this.y + (y - this.top) / this.scale);
    const inside = x >= 0 && y >= 0 && query < sheet.queries && key < sheet.keys;
    if (!inside || (x < this.left && y < this.top)) return null;
    return { query: y < this.top ? this.app.state.query : Math.max(0, query), key: x < this.left ? this.app.state.key : Math.max(0, key) };
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.fit = false;
    this.settle();
  }

  // Zoom so that the token under the point stays under it.
  zoom(factor, x = this.left + this.wide / 2, y = this.top + this.tall / 2) {
    const scale = Math.min(LARGEST, Math.max(this.smallest, this.scale * factor));
    const [dx, dy] = [Math.max(0, x - this.left), Math.max(0, y - this.top)];
    this.x += dx / this.scale - dx / scale;
    this.y += dy / this.scale - dy / scale;
    this.scale = scale;
    this.fit = scale === this.smallest;
    this.settle();
  }

  // Keep the cursor in sight.
  follow() {
    const { query, key } = this.app.state;
    const [rows, columns] = [this.tall / this.scale, this.wide / this.scale];
    if (query < this.y) this.y = query;
    if (query + 1 > this.y + rows) this.y = query + 1 - rows;
    if (key < this.x) this.x = key;
    if (key + 1 > this.x + columns) this.x = key + 1 - columns;
    this.settle();
  }
}
