// The bar of controls: plain form elements, which every keyboard and screen reader knows.

import { h } from "./dom.js";
import { download } from "./download.js";
import { SCALES, THEMES } from "./state.js";

/** @import { App } from "./main.js" */
/** @import { Head, LayerMap, Reduction, State, ViewName } from "./types" */

const VIEW_NAMES = { attributions: "Words", overview: "Overview", map: "Map", links: "Links", text: "Text" };
const SCALE_NAMES = { linear: "linear", log: "logarithmic", row: "per row" };
const REDUCTION_NAMES = { max: "largest", mean: "mean" };
/** @type {readonly Reduction[]} */
const POOLS = ["max", "mean"];
/** @type {readonly ("png" | "svg" | "csv")[]} */
const FORMATS = ["png", "svg", "csv"];
const POOLED_SIDE = 256; // tokens; a longer side may not fit the screen, so that its cells are pooled

export class Controls {
  /**
   * @param {App} app
   * @param {readonly ViewName[]} views
   */
  constructor(app, views) {
    this.app = app;
    this.views = views;
    const { layers } = app.metadata;
    this.tabs = views.map((view) => h("button", {
      role: "tab", id: `${app.id}-tab-${view}`, "aria-controls": `${app.id}-stage`,
      onclick: () => app.set({ view }), onkeydown: (event) => this.onTabKey(event, view),
    }, VIEW_NAMES[view]));
    this.layer = this.select("Layer", layers.map((_, i) => i), (i) => layers[i].label, (layer) => ({ layer }));
    const widest = layers.reduce((most, layer) => (layer.heads > most.heads ? layer : most));
    this.head = this.select("Head", headsOf(widest), (head) => nameOfHead(widest, head), (head) => ({ head }));
    this.named = widest; // the layer whose heads are offered
    this.scale = this.select("Scale", SCALES, (scale) => SCALE_NAMES[scale], (scale) => ({ scale }));
    this.pool = this.select("Blocks", POOLS, (pool) => REDUCTION_NAMES[pool], (pool) => ({ pool }));
    this.theme = this.select("Theme", THEMES, (theme) => theme, (theme) => ({ theme }));
    this.hideSpecial = this.checkbox("Hide special tokens", (hideSpecial) => ({ hideSpecial }));
    this.words = this.checkbox("Merge to words", (words) => ({ words }));
    this.count = h("output", { class: "count" });
    /** @type {HTMLInputElement} */
    this.find = h("input", {
      type: "search", autocomplete: "off", spellcheck: "false", "aria-label": "Find a token", placeholder: "Find a token",
      oninput: () => app.set({ find: this.find.value }),
      onkeydown: (event) => event.key === "Enter" && app.nextMatch(event.shiftKey ? -1 : 1),
    });
    this.findBox = h("span", { class: "find" }, this.find, this.count);
    this.element = h("div", { class: "controls" },
      h("div", { class: "tabs", role: "tablist", "aria-label": "View" }, this.tabs),
      this.layer.label, this.head.label, this.scale.label, this.pool.label,
      this.hideSpecial.label, this.words.label,
      this.findBox);
    const downloads = FORMATS.map((format) => h("button", {
      onclick: () => download(app, format), "aria-label": `Download ${format.toUpperCase()}`,
    }, format.toUpperCase()));
    this.corner = h("div", { class: "corner" }, this.theme.label,
      h("span", { role: "group", "aria-label": "Download" }, downloads),
      app.address ? h("button", { onclick: () => app.copyLink() }, "Copy link") : null);
  }

  /**
   * A labelled choice among values, and what each changes in the state.
   * @template {string | number} Value
   * @param {string} name
   * @param {readonly Value[]} values
   * @param {(value: Value) => string} nameOf
   * @param {(value: Value) => Partial<State>} patch
   */
  select(name, values, nameOf, patch) {
    const id = `${this.app.id}-${name}`;
    /** @type {HTMLSelectElement} */
    const box = h("select", { id, onchange: () => this.app.set(patch(values[box.selectedIndex])) },
      values.map((value) => h("option", { value }, nameOf(value))));
    return { box, label: h("span", { class: "choice" }, h("label", { for: id }, name), box) };
  }

  /**
   * @param {string} name
   * @param {(checked: boolean) => Partial<State>} patch
   */
  checkbox(name, patch) {
    /** @type {HTMLInputElement} */
    const box = h("input", { type: "checkbox", onchange: () => this.app.set(patch(box.checked)) });
    return { box, label: h("label", { class: "check" }, box, h("span", {}, name)) };
  }

  /**
   * Arrow keys move between tabs, as WAI-ARIA describes tabs.
   * @param {KeyboardEvent} event
   * @param {ViewName} view
   */
  onTabKey(event, view) {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const next = (this.views.indexOf(view) + step + this.views.length) % this.views.length;
    this.app.set({ view: this.views[next] });
    this.tabs[next].focus();
  }

  render() {
    const { state, metadata, found } = this.app;
    const layer = metadata.layers[state.layer];
    this.tabs.forEach((tab, i) => {
      const chosen = this.views[i] === state.view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    });
    this.layer.box.value = String(state.layer);
    const words = state.view === "attributions"; // which no choice of map changes
    this.layer.label.hidden = words || metadata.layers.length === 1;
    this.renderHeads(layer);
    this.head.label.hidden ||= words;
    this.scale.box.value = state.scale;
    this.scale.label.hidden = words;
    this.findBox.hidden = words;
    this.pool.box.value = state.pool;
    this.pool.label.hidden = state.view !== "map" || Math.max(...layer.shape) <= POOLED_SIDE;
    this.theme.box.value = state.theme;
    const axes = [layer.queries, layer.keys].map((name) => metadata.tokens[name]);
    renderTokenOption(this.hideSpecial, state.hideSpecial, layer, axes.some((axis) => axis.special.includes(true)));
    renderTokenOption(this.words, state.words, layer, axes.some((axis) => axis.words.length < axis.pieces.length));
    if (words) this.hideSpecial.label.hidden = this.words.label.hidden = true;
    if (this.find.value !== state.find) this.find.value = state.find;
    this.count.textContent = state.find ? `${found.rows.size + found.columns.size} found` : "";
  }

  /** @param {LayerMap} layer */
  renderHeads(layer) {
    const { box, label } = this.head;
    label.hidden = layer.heads === 1;
    if (String(this.named.head_names) !== String(layer.head_names)) {
      box.replaceChildren(...headsOf(layer).map((head) => h("option", { value: head }, nameOfHead(layer, head))));
      this.named = layer;
    }
    box.value = String(this.app.state.head);
  }
}

/**
 * The choices of head: reductions first, then every head of the layer.
 * @param {LayerMap} layer
 * @returns {Head[]}
 */
function headsOf(layer) {
  return ["mean", "max", ...layer.head_names.map((_, head) => head)];
}

/**
 * @param {LayerMap} layer
 * @param {Head} head
 */
function nameOfHead(layer, head) {
  return typeof head === "number" ? layer.head_names[head] : REDUCTION_NAMES[head];
}

/**
 * @param {{ box: HTMLInputElement, label: HTMLElement }} option
 * @param {boolean} checked
 * @param {LayerMap} layer
 * @param {boolean} useful whether it changes anything
 */
function renderTokenOption({ box, label }, checked, layer, useful) {
  label.hidden = !useful;
  box.checked = checked && layer.storage !== "blocks";
  box.disabled = layer.storage === "blocks";
  label.title = box.disabled ? "This map is too large to be held cell by cell, so its tokens cannot be changed here." : "";
}
