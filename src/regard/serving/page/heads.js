// The heads of a model as a grid of buttons: layers are rows, and a pressed button is a silenced head.

import { h } from "../../viewing/page/dom.js";

const MOST_HEADS = 1024; // buttons of a grid; the heads of a larger model are silenced by the API

export class HeadGrid {
  /**
   * @param {Record<string, number[]>} heads of each layer by map
   * @param {(silence: string[]) => void} onChange called with the names of all silenced heads
   */
  constructor(heads, onChange) {
    this.onChange = onChange;
    /** @type {string[]} */
    this.silenced = [];
    const maps = Object.keys(heads);
    const several = maps.length > 1;
    const total = maps.reduce((sum, map) => sum + heads[map].reduce((a, b) => a + b, 0), 0);
    /** @type {Map<string, HTMLElement>} */
    this.buttons = new Map();
    const grids = total > MOST_HEADS ? [h("p", { class: "fact" }, `${total.toLocaleString("en")} heads; silence them by name in the API`)]
      : maps.map((map) => h("section", {}, several ? h("h3", {}, map) : null, this.table(several ? `${map}.` : "", heads[map])));
    this.element = h("details", { class: "heads" }, h("summary", {}, "Silence heads"), ...grids);
  }

  /**
   * @param {string} prefix of names, where there are several maps
   * @param {number[]} counts heads of each layer
   */
  table(prefix, counts) {
    return h("table", { class: "heads" }, counts.map((count, layer) => h("tr", {},
      h("th", { scope: "row" }, `Layer ${layer + 1}`),
      Array.from({ length: count }, (_, head) => h("td", {}, this.button(`${prefix}${layer + 1}.${head + 1}`, head + 1))))));
  }

  /**
   * @param {string} name
   * @param {number} head from 1
   */
  button(name, head) {
    const button = h("button", {
      type: "button", class: "head", "aria-pressed": "false", "aria-label": `Silence head ${name}`, title: name,
      "data-control": `head-${name}`, onclick: () => this.toggle(name),
    }, String(head));
    this.buttons.set(name, button);
    return button;
  }

  /** @param {string} name */
  toggle(name) {
    const without = this.silenced.filter((other) => other !== name);
    this.onChange(without.length < this.silenced.length ? without : [...this.silenced, name]);
  }

  /** @param {string[]} silenced */
  show(silenced) {
    this.silenced = silenced;
    for (const [name, button] of this.buttons) button.setAttribute("aria-pressed", String(silenced.includes(name)));
  }
}
