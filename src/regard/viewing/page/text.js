// The texts themselves: choose a query, and the text of the keys is shaded by what it looked at.

import { h, number, short } from "./dom.js";
import { fitted, widthOf } from "./surface.js";

const MOST = 3000; // tokens shown at once
const PAD = 5;

export class TextView {
  constructor(app) {
    this.app = app;
    this.queries = h("p", { class: "running", role: "listbox", tabindex: "0", "aria-label": "Queries" });
    this.keys = h("p", { class: "running shaded", role: "listbox", tabindex: "0", "aria-label": "Keys" });
    this.asked = h("section", {}, h("h2", {}, "Queries"), this.queries);
    this.element = h("div", { class: "texts", hidden: true }, this.asked, h("section", {}, h("h2", {}, "Keys"), this.keys));
    for (const [list, field] of [[this.queries, "query"], [this.keys, "key"]]) {
      list.id = `${app.id}-${field}`;
      list.addEventListener("click", (event) => this.choose(event.target, field));
      list.addEventListener("keydown", (event) => this.move(event, field));
    }
  }

  choose(target, field) {
    const item = target.closest("[data-index]");
    if (item) this.go(field, Number(item.dataset.index));
  }

  move(event, field) {
    const right = event.currentTarget.dir === "rtl" ? -1 : 1;
    const step = { ArrowRight: right, ArrowDown: 1, ArrowLeft: -right, ArrowUp: -1 }[event.key];
    const count = this.app.sheet[field === "query" ? "queries" : "keys"];
    const ends = { Home: 0, End: count - 1 }[event.key];
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    this.go(field, Math.max(0, Math.min(count - 1, ends ?? this.app.state[field] + step)));
  }

  go(field, index) {
    this.app.set(field === "query" ? this.app.turned(index) : { key: index });
  }

  render() {
    const { sheet, state, found } = this.app;
    [this.queries.dir, this.keys.dir] = this.directions();
    this.asked.hidden = sheet.queries === 1;
    const line = sheet.line(state.query);
    const [peak, scale] = this.scale();
    this.fill(this.queries, sheet.rows, state.query, found.rows, () => null);
    const center = sheet.row(state.query, 1)[0]?.index ?? 0;
    this.fill(this.keys, sheet.columns, state.key, found.columns, (i) => this.shade(line[i], peak, scale), center);
  }

  // Each token is fenced, so that neither text would turn by itself.
  directions() {
    const { about, state } = this.app;
    const { queries, keys } = about.tracks[state.track];
    return [queries, keys].map((axis) => about.tokens[axis].direction);
  }

  scale() {
    const { sheet, state, shades } = this.app;
    const own = state.scale === "row" || sheet.queries === 1;
    const peak = own ? shades.standout(sheet.row(state.query, 1)[0]?.weight ?? 0, sheet.keys) : sheet.peak;
    return [peak, state.scale === "row" ? "linear" : state.scale];
  }

  shade(weight, peak, scale) {
    const { shades } = this.app;
    return { background: shades.color(weight, peak, scale), color: shades.ink(weight, peak, scale), weight };
  }

  // A window of the tokens, around the one that matters, since a page of 32k elements would not move.
  fill(list, pieces, active, found, shade, center = active) {
    const start = Math.max(0, Math.min(center - MOST / 2, pieces.length - MOST));
    const end = Math.min(pieces.length, start + MOST);
    const items = start > 0 ? [h("bdi", { class: "elided" }, `… ${start} tokens before`)] : [];
    for (let i = start; i < end; i++) {
      const look = shade(i);
      const item = h("bdi", { role: "option", id: `${list.id}-${i}`, "data-index": i, "aria-selected": String(i === active), class: found.has(i) ? "token found" : "token" }, short(pieces[i], 60));
      if (look) {
        item.style.background = look.background;
        item.style.color = look.color;
        item.title = number(look.weight);
      }
      items.push(item, " ");
    }
    if (end < pieces.length) items.push(h("bdi", { class: "elided" }, `… ${pieces.length - end} tokens after`));
    list.replaceChildren(...items);
    list.setAttribute("aria-activedescendant", `${list.id}-${active}`);
  }

  // The keys as a picture, for the download.
  draw(surface) {
    const { sheet, state, ink } = this.app;
    const line = sheet.line(state.query);
    const [peak, scale] = this.scale();
    surface.text(`${sheet.rows[state.query].slice(0, 80)} looks at`, 8, 16, { size: 13, weight: 650, color: ink.text });
    const [, direction] = this.directions();
    let [x, y] = [8, 46];
    for (let i = 0; i < Math.min(line.length, MOST) && y < surface.height; i++) {
      const text = fitted(sheet.columns[i], surface.width - 40, 15);
      const width = widthOf(text, 15) + 2 * PAD;
      if (x + width > surface.width - 8) [x, y] = [8, y + 28];
      const left = direction === "rtl" ? surface.width - x - width : x;
      surface.rect(left, y - 11, width, 22, { fill: this.shade(line[i], peak, scale).background, radius: 4 });
      surface.text(text, left + PAD, y, { size: 15, color: this.shade(line[i], peak, scale).color });
      x += width + 4;
    }
  }
}
