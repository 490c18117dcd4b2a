// The heads of a model as a grid; each opens its figures and an example text, side by side for two models.

import { h, plural } from "./dom.js";
import { start } from "./main.js";

/** @import { App } from "./main.js" */
/** @import { GridCell, GridData, Source, Theme } from "./types" */

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

export class HeadGrid {
  /**
   * @param {HTMLElement} root
   * @param {GridData} data
   * @param {(example: number, panel: number) => Source} source where the weights of a record come from
   * @param {Location | null} address whose hash names the head that is open
   */
  constructor(root, data, source, address) {
    this.root = root;
    this.data = data;
    this.source = source;
    this.address = address;
    /** @type {GridCell | null} */
    this.open = null;
    /** @type {string | null} */
    this.label = null; // whose heads stand out
    /** @type {Map<string, HTMLButtonElement>} */
    this.buttons = new Map();
    /** @type {Map<string, Promise<App>>} */
    this.apps = new Map(); // by example and panel
    this.theme = "system";
    this.prefersDark = matchMedia("(prefers-color-scheme: dark)");
    this.legend = h("ul", { class: "legend", "aria-label": "Kinds of heads" });
    this.figures = h("section", { class: "figures", "aria-live": "polite" });
    this.panels = h("div", { class: "panels" });
    this.build();
  }

  build() {
    const { title, facts } = this.data;
    this.root.classList.add("regard", "grid-page");
    const themes = h("select", { "aria-label": "Theme", onchange: (event) => this.setTheme(/** @type {HTMLSelectElement} */ (event.target).value) },
      THEMES.map((theme) => h("option", { value: theme }, theme)));
    this.root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, title), facts.map((fact) => h("p", { class: "facts" }, fact))),
        h("div", { class: "corner" }, h("label", { class: "choice" }, h("span", {}, "Theme"), themes))),
      h("p", { class: "help", id: "grid-help" }, "Arrow keys move between heads, Enter opens one. Kinds in the list make their heads stand out."),
      h("div", { class: "grid-body" },
        h("div", { class: "grid-column" }, this.sites().map(([site, layers]) => this.grid(site, layers)), this.legend),
        this.figures),
      this.panels);
    this.buildLegend();
    this.prefersDark.addEventListener("change", () => this.applyTheme());
    this.applyTheme();
    this.showFigures();
    if (this.address) window.addEventListener("hashchange", () => this.readAddress());
    this.readAddress();
    this.root.dataset.ready = "true";
  }

  /**
   * The cells by site and layer, in their order.
   * @returns {[string, GridCell[][]][]}
   */
  sites() {
    /** @type {Map<string, Map<number, GridCell[]>>} */
    const sites = new Map();
    for (const cell of this.data.cells) {
      const layers = sites.get(cell.site) ?? new Map();
      sites.set(cell.site, layers.set(cell.layer, [...(layers.get(cell.layer) ?? []), cell]));
    }
    return [...sites].map(([site, layers]) => [site, [...layers.values()]]);
  }

  /**
   * @param {string} site
   * @param {GridCell[][]} layers
   */
  grid(site, layers) {
    const most = Math.max(...layers.map((row) => row.length));
    const element = h("div", { class: "heads", role: "grid", "aria-label": `Heads of ${site}`, "aria-describedby": "grid-help", onkeydown: (event) => this.onKey(event) });
    element.style.setProperty("--heads", String(most));
    const numbers = Array.from({ length: most }, (_, i) => h("span", { role: "columnheader" }, String(i + 1)));
    element.append(
      h("div", { role: "row" }, h("span", { role: "columnheader" }, "head"), numbers),
      ...layers.map((row, index) => h("div", { role: "row" },
        h("span", { role: "rowheader" }, `layer ${row[0].layer}`),
        row.map((cell, column) => h("div", { role: "gridcell" }, this.button(cell, index, column))),
        Array.from({ length: most - row.length }, () => h("div", { role: "gridcell" })))));
    return h("section", {}, h("h2", {}, site), element);
  }

  /**
   * @param {GridCell} cell
   * @param {number} row
   * @param {number} column
   */
  button(cell, row, column) {
    const button = h("button", {
      "aria-label": `${cell.name}: ${describe(cell)}`, title: describe(cell), "aria-pressed": "false",
      "data-row": row, "data-column": column, "data-unsure": !cell.sure,
      tabindex: row === 0 && column === 0 ? "0" : "-1", onclick: () => this.choose(cell, true),
    }, cell.sign);
    this.buttons.set(idOf(cell), button);
    return button;
  }

  buildLegend() {
    const counts = new Map(this.data.legend.map(({ label }) => [label, 0]));
    for (const { label } of this.data.cells) counts.set(label, (counts.get(label) ?? 0) + 1);
    this.legend.replaceChildren(...this.data.legend.map(({ label, sign, meaning }) => h("li", {},
      h("button", { "aria-pressed": String(this.label === label), onclick: () => this.emphasise(label) },
        h("span", { class: "sign", "aria-hidden": "true" }, sign), h("span", {}, label),
        h("span", { class: "count" }, h("span", { "aria-hidden": "true" }, String(counts.get(label))), h("span", { class: "visually-hidden" }, plural(counts.get(label) ?? 0, "head"))),
        h("span", { class: "meaning" }, meaning)))));
  }

  /**
   * Make the heads of a label stand out; all of them again at the second time.
   * @param {string} label
   */
  emphasise(label) {
    this.label = this.label === label ? null : label;
    const buttons = [...this.legend.querySelectorAll("button")];
    this.data.legend.forEach((entry, i) => buttons[i].setAttribute("aria-pressed", String(entry.label === this.label)));
    for (const cell of this.data.cells) {
      this.buttons.get(idOf(cell))?.toggleAttribute("data-dimmed", this.label !== null && cell.label !== this.label);
    }
  }

  /**
   * Open a head.
   * @param {GridCell} cell
   * @param {boolean} focus whether its figures get the focus
   */
  choose(cell, focus) {
    if (this.open) this.buttons.get(idOf(this.open))?.setAttribute("aria-pressed", "false");
    this.open = cell;
    const button = this.buttons.get(idOf(cell));
    button?.setAttribute("aria-pressed", "true");
    if (button) this.moveStop(button);
    this.showFigures();
    if (focus) this.figures.querySelector("h2")?.focus();
    if (this.address && this.address.hash !== `#${idOf(cell)}`) history.replaceState(null, "", `#${idOf(cell)}`);
    return this.showExample(cell);
  }

  showFigures() {
    const cell = this.open;
    if (!cell) {
      this.figures.replaceChildren(h("p", { class: "facts" }, "Choose a head to see its figures and an example."));
      return;
    }
    const { beside } = this.data;
    const intervals = cell.facts.some((fact) => fact.interval);
    const compared = cell.facts.some((fact) => fact.beside);
    const bars = cell.facts.some((fact) => fact.share !== null);
    const rows = cell.facts.map((fact) => h("tr", {},
      h("th", { scope: "row" }, fact.name), h("td", {}, fact.value),
      intervals ? h("td", {}, fact.interval) : null,
      compared ? h("td", { class: "beside" }, fact.beside) : null,
      bars ? h("td", {}, fact.share === null ? null : bar(fact.share)) : null));
    this.figures.replaceChildren(
      h("h2", { tabindex: "-1" }, `${cell.name}: ${cell.label}${cell.sure ? "" : " (not sure)"}`),
      h("p", {}, cell.summary || "None of the rules holds."),
      h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "figure"), h("th", { scope: "col" }, "mean"),
          intervals ? h("th", { scope: "col" }, "95 % interval") : null,
          compared ? h("th", { scope: "col", class: "beside" }, beside) : null,
          bars ? h("td", {}) : null)),
        h("tbody", {}, rows)));
  }

  /**
   * Show the example of a head, at that head; the records of each example are built once.
   * @param {GridCell} cell
   */
  async showExample(cell) {
    if (cell.example === null) return;
    const records = this.data.examples[cell.example];
    const sections = records.map((metadata, panel) => {
      const key = `${cell.example}-${panel}`;
      const root = h("div", {});
      return { key, root, metadata, panel };
    });
    if (this.panels.dataset.example !== String(cell.example)) {
      this.panels.dataset.example = String(cell.example);
      this.apps.clear();
      this.panels.replaceChildren(...sections.map(({ root, panel }) =>
        h("section", {}, this.data.captions[panel] ? h("h2", {}, this.data.captions[panel]) : null, root)));
      for (const { key, root, metadata, panel } of sections) {
        this.apps.set(key, start(root, metadata, this.source(cell.example, panel)));
      }
    }
    await Promise.all(sections.map(async ({ key, panel }) => {
      const app = await this.apps.get(key);
      const at = cell.shown[panel];
      if (!app || !at) return;
      const layer = app.metadata.layers[at.layer];
      await app.set({ layer: at.layer, head: at.head, key: null, view: layer.shape[0] === 1 ? "text" : "map", theme: /** @type {"system" | Theme} */ (this.theme) });
    }));
  }

  /** @param {string} theme */
  setTheme(theme) {
    this.theme = theme;
    this.applyTheme();
    for (const app of this.apps.values()) app.then((each) => each.set({ theme: /** @type {"system" | Theme} */ (theme) }));
  }

  applyTheme() {
    const name = this.theme === "system" ? (this.prefersDark.matches ? "dark" : "light") : this.theme;
    this.root.dataset.theme = name;
    const colors = this.data.palettes[/** @type {Theme} */ (name)];
    for (const cell of this.data.cells) {
      const button = this.buttons.get(idOf(cell));
      if (!button) continue;
      const step = Math.round(255 * cell.level);
      const color = colors.slice(6 * step, 6 * step + 6);
      button.style.backgroundColor = `#${color}`;
      button.style.color = textColor(color);
    }
  }

  /**
   * Arrow keys move between the heads of a grid, which is one stop for the Tab key.
   * @param {KeyboardEvent} event
   */
  onKey(event) {
    /** @type {Record<string, [down: number, right: number]>} */
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const here = event.target instanceof Element ? event.target.closest("button[data-row]") : null;
    const step = steps[event.key];
    if (!step || !(here instanceof HTMLButtonElement)) return;
    event.preventDefault();
    const [row, column] = [Number(here.dataset.row) + step[0], Number(here.dataset.column) + step[1]];
    const next = here.closest(".heads")?.querySelector(`button[data-row="${row}"][data-column="${column}"]`);
    if (!(next instanceof HTMLButtonElement)) return;
    this.moveStop(next);
    next.focus();
  }

  /**
   * Make a head the one of its grid that the Tab key stops at.
   * @param {HTMLButtonElement} button
   */
  moveStop(button) {
    for (const other of button.closest(".heads")?.querySelectorAll("button") ?? []) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  readAddress() {
    const hash = decodeURIComponent(this.address?.hash.replace(/^#/, "") ?? "");
    const cell = this.data.cells.find((each) => idOf(each) === hash);
    if (cell && cell !== this.open) this.choose(cell, false);
  }
}

/** @param {GridCell} cell */
function idOf(cell) {
  return `${cell.site}.${cell.layer}.${cell.head}`;
}

/** @param {GridCell} cell */
function describe(cell) {
  return `${cell.label}${cell.sure ? "" : ", not sure"}${cell.summary ? `; ${cell.summary}` : ""}`;
}

/** @param {number} share */
function bar(share) {
  const inner = h("span", { class: "bar" });
  inner.style.inlineSize = `${100 * Math.max(0, Math.min(1, share))}%`;
  return h("span", { class: "track", "aria-hidden": "true" }, inner);
}

/**
 * Black or white, whichever is easier to read on a colour (WCAG relative luminance).
 * @param {string} color six hexadecimal digits
 */
export function textColor(color) {
  const [r, g, b] = [0, 2, 4].map((at) => {
    const value = parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 ? "#ffffff" : "#000000";
}
