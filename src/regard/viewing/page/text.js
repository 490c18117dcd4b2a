// The texts themselves: choose a query, and each key is shaded by the weight that the query gives it.

import { formatWeight, h, truncate } from "./dom.js";
import { fitText, textWidth } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { Surface } from "./types" */

const MAX_SHOWN = 3000; // tokens at once: a page of 32k elements would not move
const PADDING = 5; // pixels beside a token that is drawn

/** @typedef {{ background: string, color: string, weight: number }} Shade */

export class TextView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.queries = this.list("query", "Queries", "tokens");
    this.keys = this.list("key", "Keys", "tokens shaded");
    this.querySection = h("section", {}, h("h2", {}, "Queries"), this.queries);
    this.element = h("div", { class: "texts", hidden: true }, this.querySection, h("section", {}, h("h2", {}, "Keys"), this.keys));
  }

  /**
   * @param {"query" | "key"} field of the state
   * @param {string} label
   * @param {string} style
   */
  list(field, label, style) {
    /** @type {HTMLParagraphElement} */
    const list = h("p", {
      class: style, role: "listbox", tabindex: "0", "aria-label": label, id: `${this.app.id}-${field}`,
      onclick: (event) => this.onClick(event, field),
      onkeydown: (event) => this.onKey(event, field, list.dir),
    });
    return list;
  }

  /**
   * @param {Event} event
   * @param {"query" | "key"} field
   */
  onClick(event, field) {
    const item = event.target instanceof Element ? event.target.closest("[data-index]") : null;
    if (item instanceof HTMLElement) this.choose(field, Number(item.dataset.index));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {"query" | "key"} field
   * @param {string} direction
   */
  onKey(event, field, direction) {
    const { matrix, cursor } = this.app;
    const last = (field === "query" ? matrix.queries : matrix.keys) - 1;
    const right = direction === "rtl" ? -1 : 1;
    const at = cursor[field];
    /** @type {Record<string, number>} */
    const targets = {
      ArrowRight: at + right, ArrowDown: at + 1, ArrowLeft: at - right, ArrowUp: at - 1, Home: 0, End: last,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.choose(field, Math.max(0, Math.min(last, targets[event.key])));
  }

  /**
   * @param {"query" | "key"} field
   * @param {number} index
   */
  choose(field, index) {
    this.app.set(field === "query" ? this.app.chooseQuery(index) : { key: index });
  }

  render() {
    const { matrix, cursor, found } = this.app;
    [this.queries.dir, this.keys.dir] = this.directions();
    this.querySection.hidden = matrix.queries === 1;
    const weights = matrix.rowWeights(cursor.query);
    const max = this.max();
    this.fill(this.queries, matrix.rows, cursor.query, found.rows);
    const strongest = matrix.topOfRow(cursor.query, 1)[0]?.index ?? 0;
    this.fill(this.keys, matrix.columns, cursor.key, found.columns, (i) => this.shade(weights[i], max), strongest);
  }

  /** Whether each text reads from left to right; its tokens are isolated, so the browser cannot tell. */
  directions() {
    const { metadata, state } = this.app;
    const { queries, keys } = metadata.layers[state.layer];
    return [queries, keys].map((axis) => metadata.tokens[axis].direction);
  }

  /** The maximum of the colour scale. */
  max() {
    const { matrix, cursor, state, colors } = this.app;
    const own = state.scale === "row" || matrix.queries === 1;
    return own ? colors.textMax(matrix.topOfRow(cursor.query, 1)[0]?.weight ?? 0, matrix.keys) : matrix.max;
  }

  /**
   * @param {number} weight
   * @param {number} max
   * @returns {Shade}
   */
  shade(weight, max) {
    const { colors, state } = this.app;
    return { background: colors.color(weight, max, state.scale), color: colors.textColor(weight, max, state.scale), weight };
  }

  /**
   * Fill a list with its tokens; of a long text, those around `center`.
   * @param {HTMLElement} list
   * @param {string[]} pieces
   * @param {number} active
   * @param {Set<number>} found
   * @param {((index: number) => Shade) | null} shade
   * @param {number} center
   */
  fill(list, pieces, active, found, shade = null, center = active) {
    const start = Math.max(0, Math.min(center - MAX_SHOWN / 2, pieces.length - MAX_SHOWN));
    const end = Math.min(pieces.length, start + MAX_SHOWN);
    /** @type {(Node | string)[]} */
    const items = start > 0 ? [h("bdi", { class: "omitted" }, `… ${start} tokens before`)] : [];
    for (let i = start; i < end; i++) {
      const item = h("bdi", {
        role: "option", id: `${list.id}-${i}`, "data-index": i, "aria-selected": String(i === active),
        class: found.has(i) ? "token found" : "token",
      }, truncate(pieces[i], 60));
      if (shade) {
        const { background, color, weight } = shade(i);
        Object.assign(item.style, { background, color });
        item.title = formatWeight(weight);
      }
      items.push(item, " ");
    }
    if (end < pieces.length) items.push(h("bdi", { class: "omitted" }, `… ${pieces.length - end} tokens after`));
    list.replaceChildren(...items);
    list.setAttribute("aria-activedescendant", `${list.id}-${active}`);
  }

  /**
   * The keys as a picture, for the download.
   * @param {Surface} surface
   */
  draw(surface) {
    const { matrix, cursor, themeColors } = this.app;
    const weights = matrix.rowWeights(cursor.query);
    const max = this.max();
    const [, direction] = this.directions();
    const heading = `${matrix.rows[cursor.query].slice(0, 80)} looks at`;
    surface.text(heading, 8, 16, { size: 13, weight: 650, color: themeColors.text });
    let [x, y] = [8, 46];
    for (let i = 0; i < Math.min(weights.length, MAX_SHOWN) && y < surface.height; i++) {
      const text = fitText(matrix.columns[i], surface.width - 40, 15);
      const width = textWidth(text, 15) + 2 * PADDING;
      if (x + width > surface.width - 8) [x, y] = [8, y + 28];
      const left = direction === "rtl" ? surface.width - x - width : x;
      const { background, color } = this.shade(weights[i], max);
      surface.rect(left, y - 11, width, 22, { fill: background, radius: 4 });
      surface.text(text, left + PADDING, y, { size: 15, color });
      x += width + 4;
    }
  }
}
