// The bar of controls: plain form elements, so that every keyboard and screen reader knows them.

import { h } from "./dom.js";
import { SCALES, THEMES } from "./state.js";
import { save } from "./download.js";

const NAMES = {
  overview: "Overview", map: "Map", links: "Links", text: "Text",
  linear: "linear", log: "logarithmic", row: "per row",
  system: "system", light: "light", dark: "dark", max: "largest", mean: "mean",
};

export class Controls {
  constructor(app, views) {
    this.app = app;
    const { about } = app;
    this.tabs = views.map((view) => h("button", {
      role: "tab", id: `${app.id}-tab-${view}`, "aria-controls": `${app.id}-stage`, "data-view": view,
      onclick: () => app.set({ view }), onkeydown: (event) => this.turn(event),
    }, NAMES[view]));
    this.track = this.select("Layer", about.tracks.map((track, i) => [i, track.label]), (value) => ({ track: Number(value) }));
    this.head = this.select("Head", [], (value) => ({ head: /^\d+$/.test(value) ? Number(value) : value }));
    this.scale = this.select("Scale", SCALES.map((name) => [name, NAMES[name]]), (scale) => ({ scale }));
    this.pool = this.select("Blocks", ["max", "mean"].map((name) => [name, NAMES[name]]), (pool) => ({ pool }));
    this.theme = this.select("Theme", THEMES.map((name) => [name, NAMES[name]]), (theme) => ({ theme }));
    this.hideSpecial = this.check("Hide special tokens", "hideSpecial");
    this.words = this.check("Merge to words", "words");
    this.count = h("output", { class: "count" });
    this.find = h("input", {
      type: "search", autocomplete: "off", spellcheck: "false", "aria-label": "Find a token", placeholder: "Find a token",
      oninput: () => app.set({ find: this.find.value }),
      onkeydown: (event) => event.key === "Enter" && app.next(event.shiftKey ? -1 : 1),
    });
    this.element = h("div", { class: "controls" },
      h("div", { class: "tabs", role: "tablist", "aria-label": "View" }, this.tabs),
      this.track.label, this.head.label, this.scale.label, this.pool.label,
      this.hideSpecial.label, this.words.label,
      h("span", { class: "find" }, this.find, this.count));
    const formats = ["png", "svg", "csv"].map((format) => h("button", {
      onclick: () => save(app, format), "aria-label": `Download ${format.toUpperCase()}`,
    }, format.toUpperCase()));
    this.corner = h("div", { class: "corner" }, this.theme.label,
      h("span", { role: "group", "aria-label": "Download" }, formats),
      app.address ? h("button", { onclick: () => app.copyLink() }, "Copy link") : null);
  }

  select(name, options, patch) {
    const id = `${this.app.id}-${name}`;
    const choices = options.map(([value, text]) => h("option", { value }, text));
    const box = h("select", { id, onchange: () => this.app.set(patch(box.value)) }, choices);
    return { box, label: h("span", { class: "choice" }, h("label", { for: id }, name), box) };
  }

  check(name, field) {
    const box = h("input", { type: "checkbox", onchange: () => this.app.set({ [field]: box.checked }) });
    return { box, label: h("label", { class: "check" }, box, h("span", {}, name)) };
  }

  // Arrow keys turn the tabs, as tabs do.
  turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.tabs[(this.tabs.indexOf(event.target) + step + this.tabs.length) % this.tabs.length];
    this.app.set({ view: next.dataset.view });
    next.focus();
  }

  render() {
    const { state, about, found } = this.app;
    const track = about.tracks[state.track];
    for (const tab of this.tabs) {
      const chosen = tab.dataset.view === state.view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.track.box.value = state.track;
    this.track.label.hidden = about.tracks.length === 1;
    this.heads(track);
    this.scale.box.value = state.scale;
    this.pool.box.value = state.pool;
    this.pool.label.hidden = state.view !== "map" || Math.max(...track.shape) <= 256;
    this.theme.box.value = state.theme;
    const axes = [track.queries, track.keys].map((axis) => about.tokens[axis]);
    this.option(this.hideSpecial, state.hideSpecial, track, axes.some((axis) => axis.special.includes(true)));
    this.option(this.words, state.words, track, axes.some((axis) => axis.words.length < axis.pieces.length));
    if (this.find.value !== state.find) this.find.value = state.find;
    const matches = found.rows.size + found.columns.size;
    this.count.textContent = state.find ? `${matches} found` : "";
  }

  heads(track) {
    const { box, label } = this.head;
    label.hidden = track.heads === 1;
    if (box.length !== track.heads + 2) {
      const heads = Array.from({ length: track.heads }, (_, i) => h("option", { value: i }, `head ${i + 1}`));
      box.replaceChildren(h("option", { value: "mean" }, "mean"), h("option", { value: "max" }, "largest"), ...heads);
    }
    box.value = this.app.state.head;
  }

  option({ box, label }, checked, track, useful) {
    label.hidden = !useful;
    box.checked = checked && track.kept !== "blocks";
    box.disabled = track.kept === "blocks";
    label.title = box.disabled ? "This map is too large to be held cell by cell, so its tokens cannot be changed here." : "";
  }
}
