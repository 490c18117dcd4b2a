// Token to token: queries on the left, keys on the right, arcs between them.

import { fitted } from "./surface.js";

const LINE = 22;
const MOST = 5; // arcs a query gets
const FAINTEST = 0.02;

export class LinksView {
  constructor(app) {
    this.app = app;
    this.offset = 0; // first query in sight
    this.hover = null;
  }

  layout(width, height) {
    const { sheet } = this.app;
    this.rows = Math.max(1, Math.floor((height - 34) / LINE));
    this.offset = Math.max(0, Math.min(this.offset, sheet.queries - this.rows));
    const travel = Math.max(1, sheet.queries - this.rows);
    const other = Math.max(0, sheet.keys - this.rows);
    this.opposite = Math.round((this.offset / travel) * other);
    this.column = Math.min(220, Math.round(width * 0.3));
    this.right = Math.min(width - this.column, this.column + 460);
  }

  draw(surface) {
    const { sheet, state, ink } = this.app;
    this.layout(surface.width, surface.height);
    const style = { size: 11, weight: 600, color: ink.muted };
    surface.text("queries", this.column - 12, 14, { ...style, align: "right" });
    surface.text("keys", this.right + 12, 14, style);
    surface.clip(this.column, 28, this.right - this.column, surface.height - 28, () => this.arcs(surface));
    const active = this.hover ?? { side: "rows", index: state.query };
    const last = (start, count) => Math.min(count, start + this.rows);
    for (let i = this.offset; i < last(this.offset, sheet.queries); i++) this.name(surface, "rows", i, active);
    for (let i = this.opposite; i < last(this.opposite, sheet.keys); i++) this.name(surface, "columns", i, active);
  }

  arcs(surface) {
    const { sheet, state } = this.app;
    const active = this.hover ?? { side: "rows", index: state.query };
    for (let query = this.offset; query < Math.min(sheet.queries, this.offset + this.rows); query++) {
      if (active.side === "rows" && active.index === query) continue;
      for (const { index, weight } of sheet.row(query, MOST)) {
        if (weight >= FAINTEST) this.arc(surface, query, index, weight, 0.22);
      }
    }
    const strong = active.side === "rows"
      ? sheet.row(active.index, 12).map((item) => [active.index, item.index, item.weight])
      : sheet.column(active.index, 12).map((item) => [item.index, active.index, item.weight]);
    for (const [query, key, weight] of strong.reverse()) this.arc(surface, query, key, weight, 1);
  }

  arc(surface, query, key, weight, opacity) {
    const { shades, sheet, state } = this.app;
    const peak = state.scale === "row" ? sheet.rowPeaks()[query] : sheet.peak;
    const level = shades.level(weight, peak, state.scale === "row" ? "linear" : state.scale);
    const color = shades.colors[Math.round(255 * (0.25 + 0.75 * level))];
    const [from, to] = [this.at(query, this.offset), this.at(key, this.opposite)];
    surface.curve(this.column, from, this.right, to, { color, line: 0.6 + 6 * level, opacity });
  }

  at(index, offset) {
    return 34 + (index - offset + 0.5) * LINE;
  }

  name(surface, side, index, active) {
    const { sheet, state, found, ink, shades } = this.app;
    const queries = side === "rows";
    const here = active.side === side && active.index === index;
    const weight = this.weightFor(side, index, active);
    const y = this.at(index, queries ? this.offset : this.opposite);
    const fill = weight > 0 ? shades.color(weight, this.strongest(active), state.scale === "row" ? "linear" : state.scale) : null;
    const x = queries ? 0 : this.right + 6;
    const width = queries ? this.column - 6 : surface.width - this.right - 6;
    if (fill && !here) surface.rect(x, y - 9, width, 18, { fill, radius: 4 });
    if (here) surface.rect(x + 1, y - 9, width - 2, 18, { stroke: ink.cursor, line: 2, radius: 4 });
    const color = fill && !here ? shades.ink(weight, this.strongest(active), state.scale === "row" ? "linear" : state.scale) : found[side].has(index) ? ink.found : ink.text;
    const text = fitted(sheet[side][index], width - 14, 13, here ? 650 : 400);
    const style = { size: 13, weight: here ? 650 : 400, color, align: queries ? "right" : "left" };
    surface.text(text, queries ? this.column - 13 : this.right + 13, y, style);
  }

  // How much the active token gives to, or gets from, a token of the other side.
  weightFor(side, index, active) {
    if (active.side === side) return 0;
    const { weight } = side === "columns" ? this.app.sheet.weight(active.index, index) : this.app.sheet.weight(index, active.index);
    return weight >= 0.005 ? weight : 0;
  }

  strongest(active) {
    const { sheet } = this.app;
    const [best] = active.side === "rows" ? sheet.row(active.index, 1) : sheet.column(active.index, 1);
    return best?.weight ?? 1;
  }

  hit(x, y) {
    const { sheet } = this.app;
    const row = Math.floor((y - 34) / LINE);
    if (row < 0) return null;
    if (x < this.column && row + this.offset < sheet.queries) return { side: "rows", index: row + this.offset };
    if (x > this.right && row + this.opposite < sheet.keys) return { side: "columns", index: row + this.opposite };
    return null;
  }

  scroll(lines) {
    this.offset = Math.round(this.offset + lines);
  }

  follow() {
    const { query } = this.app.state;
    if (query < this.offset) this.offset = query;
    if (query >= this.offset + this.rows) this.offset = query - this.rows + 1;
  }
}
