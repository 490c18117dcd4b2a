// Every layer and head at a glance; each small map opens the large one.

import { ArrayReader, WEIGHT_OF_CODE, inflate } from "./codec.js";
import { h, plural } from "./dom.js";
import { contextOf } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { LayerMap, Surface } from "./types" */

const MAX_SIDE = 84; // pixels of a small map in the download

export class Overview {
  /** @param {App} app */
  constructor(app) {
    const { layers, thumbnail_size } = app.metadata;
    this.app = app;
    this.element = h("div", { class: "overview", hidden: true });
    this.side = thumbnail_size;
    this.heads = Math.max(...layers.map((layer) => layer.heads)); // of the layer with most
    /** @type {Uint8Array[][]} */
    this.codes = []; // by layer and head
  }

  /** Read the small maps and build the grid. */
  async open() {
    const { layers } = this.app.metadata;
    const reader = new ArrayReader(await inflate(this.app.source.chunk("thumbnails")));
    this.codes = layers.map((layer) => Array.from({ length: layer.heads }, () => reader.uint8(this.side ** 2)));
    const names = this.columnNames().map((name) => h("span", { class: "column", "aria-hidden": "true" }, name));
    const rows = layers.map((layer, row) => [
      h("span", { class: "row" }, layer.label),
      ...Array.from({ length: this.heads }, (_, head) => (head < layer.heads ? this.thumbnail(layer, row, head) : h("span"))),
    ]);
    this.element.style.setProperty("--heads", String(this.heads));
    this.element.append(h("span"), ...names, ...rows.flat());
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** A number for each column of heads; the names of members, where the networks of an ensemble are shown. */
  columnNames() {
    const { layers } = this.app.metadata;
    const widest = layers.reduce((most, layer) => (layer.heads > most.heads ? layer : most));
    return widest.head_names.map((name, i) => (widest.members > 1 ? name : String(i + 1)));
  }

  /**
   * @param {LayerMap} layer
   * @param {number} row
   * @param {number} head
   */
  thumbnail(layer, row, head) {
    const canvas = h("canvas", { width: this.side, height: this.side, "aria-hidden": "true" });
    const entropy = layer.mean_entropy[head].toFixed(2);
    const of = layer.members > 1 ? "" : ` of ${plural(layer.heads, "head")}`;
    const label = `${layer.label}, ${layer.head_names[head]}${of}, mean entropy ${entropy} nats`;
    return h("button", {
      class: "thumbnail", "aria-label": label, title: label, "data-row": row, "data-head": head,
      tabindex: row === 0 && head === 0 ? "0" : "-1",
      onclick: () => this.app.set({ layer: row, head, view: layer.shape[0] === 1 ? "text" : "map" }, { focus: true }),
    }, canvas);
  }

  /**
   * Arrow keys move between the small maps, which are one stop for the Tab key.
   * @param {KeyboardEvent} event
   */
  onKey(event) {
    /** @type {Record<string, [down: number, right: number]>} */
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const step = steps[event.key];
    const here = event.target instanceof Element ? event.target.closest("[data-row]") : null;
    if (!step || !(here instanceof HTMLElement)) return;
    event.preventDefault();
    const next = this.button(Number(here.dataset.row) + step[0], Number(here.dataset.head) + step[1]);
    if (!next) return;
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /**
   * @param {number} row
   * @param {number} head
   * @returns {HTMLButtonElement | null}
   */
  button(row, head) {
    return this.element.querySelector(`button[data-row="${row}"][data-head="${head}"]`);
  }

  render() {
    const { state } = this.app;
    this.codes.forEach((heads, row) => heads.forEach((codes, head) => {
      const button = this.button(row, head);
      const canvas = button?.querySelector("canvas");
      if (!button || !canvas) return;
      contextOf(canvas).putImageData(this.picture(codes), 0, 0);
      button.toggleAttribute("data-chosen", state.layer === row && (state.head === head || heads.length === 1));
    }));
  }

  /**
   * A small map, relative to its own largest weight.
   * @param {Uint8Array} codes
   */
  picture(codes) {
    const { colors, state } = this.app;
    const max = WEIGHT_OF_CODE[codes.reduce((most, code) => Math.max(most, code), 0)];
    const table = colors.pixelOfCode(max, state.scale);
    const picture = new ImageData(this.side, this.side);
    new Uint32Array(picture.data.buffer).set(Uint32Array.from(codes, (code) => table[code]));
    return picture;
  }

  /** @param {Surface} surface */
  draw(surface) {
    const { metadata: { layers }, themeColors } = this.app;
    const room = Math.min(MAX_SIDE, (surface.width - 120) / this.heads, (surface.height - 30) / layers.length);
    const canvas = h("canvas", { width: this.side, height: this.side });
    this.columnNames().forEach((name, head) => {
      surface.text(name, 110 + (head + 0.5) * room, 14, { size: 11, color: themeColors.muted, align: "center" });
    });
    this.codes.forEach((heads, row) => {
      surface.text(layers[row].label, 100, 28 + (row + 0.5) * room, { color: themeColors.text, align: "right" });
      heads.forEach((codes, head) => {
        contextOf(canvas).putImageData(this.picture(codes), 0, 0);
        surface.image(canvas, [0, 0, this.side, this.side], [110 + head * room + 2, 28 + row * room + 2, room - 4, room - 4]);
      });
    });
  }
}
