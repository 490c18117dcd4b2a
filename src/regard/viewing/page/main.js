// The page of a record: its state, its views, and what keeps them together. `start` opens it.

import { AttributionsView } from "./attributions.js";
import { ColorScale } from "./colors.js";
import { Controls } from "./controls.js";
import { h, plural } from "./dom.js";
import { LinksView } from "./links.js";
import { MatrixLoader } from "./loader.js";
import { MapView } from "./map.js";
import { Overview } from "./overview.js";
import { Pointer } from "./pointer.js";
import { Readout } from "./readout.js";
import { fromHash, initialState, toHash, viewsOf } from "./state.js";
import { CanvasSurface } from "./surface.js";
import { TextView } from "./text.js";

/** @import { Matrix, Metadata, Side, Source, State, ThemeColors } from "./types" */

const HELP = {
  attributions: "",
  overview: "",
  map: "Arrow keys move the cursor, with Shift by ten. Home and End go to the ends of the row, Page Up and Page Down to those of the column. T goes to the row's largest weight. Plus and minus zoom, 0 shows all.",
  links: "Up and Down choose a query, T its strongest key, Left and Right move between keys.",
  text: "",
};
const ADDRESS_DELAY = 200; // ms; browsers refuse to rewrite the address many times a second

export class App {
  /**
   * @param {HTMLElement} root
   * @param {Metadata} metadata
   * @param {Source} source
   * @param {Location | null} address that the state is read from and written to
   */
  constructor(root, metadata, source, address) {
    this.root = root;
    this.metadata = metadata;
    this.source = source;
    this.address = address;
    // Ids begin with this. A notebook loads the front end anew for every widget, so they cannot be counted.
    this.id = `regard-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    this.loader = new MatrixLoader(metadata, source);
    this.state = address ? fromHash(address.hash, metadata) : initialState(metadata);
    /** @type {Matrix | null} */
    this.loaded = null;
    this.request = 0; // number of the latest change that asked for a matrix
    /** @type {Record<Side, Set<number>>} */
    this.found = { rows: new Set(), columns: new Set() };
    /** @type {Matrix | null} */
    this.searched = null; // the matrix that `found` is of
    /** @type {number | null} */
    this.match = null; // which match was visited last
    this.colorScales = { light: new ColorScale(metadata.palettes.light), dark: new ColorScale(metadata.palettes.dark) };
    this.colors = this.colorScales.light;
    /** @type {ThemeColors} */
    this.themeColors = { text: "", muted: "", border: "", background: "", cursor: "", found: "" };
    this.prefersDark = matchMedia("(prefers-color-scheme: dark)");
    /** @type {number | null} */
    this.frame = null; // the animation frame that is asked for
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.addressTimer = undefined;
    this.controls = new Controls(this, viewsOf(metadata));
    this.map = new MapView(this);
    this.links = new LinksView(this);
    this.text = new TextView(this);
    this.overview = new Overview(this);
    this.attributions = new AttributionsView(this);
    this.readout = new Readout(this);
    this.canvas = h("canvas", {
      tabindex: "0", role: "application", "aria-roledescription": "attention map", "aria-describedby": `${this.id}-help`,
      onkeydown: (event) => this.onKey(event),
    });
    this.help = h("p", { class: "help", id: `${this.id}-help` });
    this.tooltip = h("div", { class: "tooltip", hidden: true, "aria-hidden": "true" });
    this.live = h("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    this.stage = h("div", { class: "stage", id: `${this.id}-stage`, role: "tabpanel" },
      this.canvas, this.attributions.element, this.text.element, this.overview.element, this.tooltip);
    this.pointer = new Pointer(this);
    this.build();
  }

  /** The matrix on screen. */
  get matrix() {
    if (!this.loaded) throw new Error("no matrix is loaded yet");
    return this.loaded;
  }

  /** The cell that the numbers are about. */
  get cursor() {
    return { query: this.state.query, key: this.state.key ?? 0 };
  }

  build() {
    const { title, reading, notes, verdict, layers } = this.metadata;
    const heads = layers.reduce((sum, layer) => sum + layer.heads, 0);
    const members = Math.max(...layers.map((layer) => layer.members));
    const facts = [
      `${plural(layers.length, "layer")} · ${plural(heads, "head")}${members > 1 ? ` of ${members} members of an ensemble` : ""}`,
      ...(reading ? [`Cross-attention is read ${reading}.`] : []),
      ...notes.filter(Boolean),
    ];
    this.root.classList.add("regard");
    this.root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, title || "Attention"), facts.map((fact) => h("p", { class: "facts" }, fact))),
        this.controls.corner),
      verdict ? h("p", { class: "verdict" }, h("strong", {}, "How far to trust attention "), verdict) : "",
      this.controls.element,
      h("div", { class: "body" }, h("div", { class: "view-column" }, this.stage, this.help), this.readout.element),
      this.live);
    new ResizeObserver(() => this.paint()).observe(this.stage);
    this.prefersDark.addEventListener("change", () => this.set({}));
    if (this.address) window.addEventListener("hashchange", () => this.readAddress());
  }

  async open() {
    if (viewsOf(this.metadata).includes("overview")) await this.overview.open();
    await this.set({});
    const { x, y, zoom } = this.state;
    if (zoom !== null) {
      this.paint();
      Object.assign(this.map, { x: x ?? 0, y: y ?? 0, scale: zoom, fit: false });
      this.paint();
    }
    this.root.dataset.ready = "true";
  }

  readAddress() {
    const hash = this.address?.hash.replace(/^#/, "") ?? "";
    if (hash !== toHash(this.state, this.metadata)) this.set(fromHash(hash, this.metadata));
  }

  /**
   * Change the state and show it. A later call wins over one whose matrix is still loading.
   * @param {Partial<State>} patch
   * @param {{ reveal?: boolean, focus?: boolean }} options whether to bring the cursor into view, and to focus the view
   */
  async set(patch, { reveal = false, focus = false } = {}) {
    if ("words" in patch || "hideSpecial" in patch) patch = this.keepCursor(patch);
    const { state } = this;
    Object.assign(state, patch);
    const { heads } = this.metadata.layers[state.layer];
    if (typeof state.head === "number" && state.head >= heads) state.head = "mean";
    const request = ++this.request;
    const matrix = await this.loader.load(state.layer, state);
    if (request !== this.request) return;
    this.replace(matrix);
    state.query = Math.max(0, Math.min(state.query, matrix.queries - 1));
    const key = state.key ?? matrix.topOfRow(state.query, 1)[0]?.index ?? 0;
    state.key = Math.max(0, Math.min(key, matrix.keys - 1));
    if ("find" in patch || this.searched !== matrix) this.search();
    if ("query" in patch || "key" in patch || reveal) this.scrollToCursor();
    this.render(patch);
    if (focus) this.focus();
  }

  /**
   * A change of tokens by which the cursor stays on its own, when pieces are merged or others are hidden.
   * @param {Partial<State>} patch
   * @returns {Partial<State>}
   */
  keepCursor(patch) {
    const { state, loader, cursor } = this;
    const layer = this.metadata.layers[state.layer];
    if (layer.storage === "blocks" || "query" in patch) return patch;
    /** @type {(axis: string, index: number) => number} */
    const moved = (axis, index) => {
      const piece = loader.firstPieces(axis, state)[index];
      return Math.max(0, loader.firstPieces(axis, { ...state, ...patch }).findLastIndex((first) => first <= piece));
    };
    return { ...patch, query: moved(layer.queries, cursor.query), key: moved(layer.keys, cursor.key) };
  }

  /**
   * Show a matrix. One of another size is shown whole.
   * @param {Matrix} matrix
   */
  replace(matrix) {
    const same = this.loaded && matrix.queries === this.loaded.queries && matrix.keys === this.loaded.keys;
    this.loaded = matrix;
    if (!same) this.map.fit = true;
  }

  scrollToCursor() {
    if (this.map.width) this.map.scrollToCursor();
    if (this.links.rows) this.links.scrollToCursor();
  }

  focus() {
    (this.state.view === "text" ? this.text.keys : this.canvas).focus();
  }

  /** Find the tokens that contain the text looked for, whatever their case. */
  search() {
    const { matrix } = this;
    this.searched = matrix;
    const wanted = this.state.find.trim().toLocaleLowerCase();
    /** @param {string[]} pieces */
    const matches = (pieces) => new Set(wanted ? pieces.flatMap((piece, i) => (piece.toLocaleLowerCase().includes(wanted) ? [i] : [])) : []);
    this.found = { rows: matches(matrix.rows), columns: matches(matrix.columns) };
  }

  /**
   * Go to the next token found, or with -1 to the one before: keys first, then queries.
   * @param {1 | -1} step
   */
  nextMatch(step) {
    const all = [...[...this.found.columns].map((key) => ({ key })), ...[...this.found.rows].map((query) => ({ query }))];
    if (!all.length) return this.announce("Nothing found");
    const before = this.match ?? (step < 0 ? 0 : -1);
    this.match = (before + step + all.length) % all.length;
    return this.set(all[this.match], { reveal: true });
  }

  /** @param {Partial<State>} patch that brought the state about */
  render(patch) {
    const { view } = this.state;
    this.applyTheme();
    const drawn = view === "map" || view === "links";
    this.canvas.hidden = !drawn;
    this.help.textContent = HELP[view];
    this.help.hidden = !drawn;
    this.text.element.hidden = view !== "text";
    this.overview.element.hidden = view !== "overview";
    this.stage.setAttribute("aria-labelledby", `${this.id}-tab-${view}`);
    this.attributions.element.hidden = view !== "attributions";
    this.readout.element.hidden = view === "overview" || view === "attributions";
    this.controls.render();
    this.readout.render();
    if (view === "text") this.text.render();
    if (view === "overview") this.overview.render();
    if (view === "attributions") this.attributions.render();
    this.canvas.setAttribute("aria-label", this.readout.sentence());
    this.paint();
    if ("query" in patch || "key" in patch) this.announce(this.readout.sentence());
    this.writeAddress();
  }

  applyTheme() {
    const { theme } = this.state;
    const name = theme === "system" ? (this.prefersDark.matches ? "dark" : "light") : theme;
    this.root.dataset.theme = name;
    this.colors = this.colorScales[name];
    const style = getComputedStyle(this.root);
    /** @param {keyof ThemeColors} color */
    const property = (color) => style.getPropertyValue(`--${color}`).trim();
    this.themeColors = {
      text: property("text"), muted: property("muted"), border: property("border"),
      background: property("background"), cursor: property("cursor"), found: property("found"),
    };
  }

  /** Draw the canvas anew, at most once a frame however often something changes. */
  paint() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.canvas.hidden || !this.loaded) return;
      const { clientWidth, clientHeight } = this.canvas;
      if (!clientWidth || !clientHeight) return;
      this[this.state.view].draw(new CanvasSurface(this.canvas, clientWidth, clientHeight));
    });
  }

  /** The view that a download draws, and the size of its picture. */
  picture() {
    return { view: this[this.state.view], width: this.stage.clientWidth, height: Math.max(320, this.stage.clientHeight) };
  }

  /** Write the state to the address, soon. */
  writeAddress() {
    if (!this.address) return;
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => {
      const { fit, x, y, scale } = this.map;
      Object.assign(this.state, fit ? { x: null, y: null, zoom: null } : { x, y, zoom: scale });
      history.replaceState(null, "", `#${toHash(this.state, this.metadata)}`);
    }, ADDRESS_DELAY);
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.announce("Link copied");
    } catch {
      this.announce("The link is in the address bar");
    }
  }

  /**
   * Say something to a screen reader.
   * @param {string} text
   */
  announce(text) {
    this.live.textContent = text;
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const { matrix, cursor: { query, key } } = this;
    const step = event.shiftKey ? 10 : 1;
    /** @type {Record<string, Partial<State>>} */
    const moves = {
      ArrowLeft: { key: key - step }, ArrowRight: { key: key + step },
      ArrowUp: this.chooseQuery(query - step), ArrowDown: this.chooseQuery(query + step),
      Home: { key: 0 }, End: { key: matrix.keys - 1 },
      PageUp: { query: 0 }, PageDown: { query: matrix.queries - 1 },
      t: { key: matrix.topOfRow(query, 1)[0]?.index ?? key },
    };
    /** @type {Record<string, number>} */
    const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (name in moves) this.set(moves[name], { reveal: true });
    else if (name in zooms && this.state.view === "map") this.zoom(zooms[name]);
    else return;
    event.preventDefault();
  }

  /**
   * The change to another query: on the map the key stays, elsewhere it becomes the query's strongest.
   * @param {number} query
   * @returns {Partial<State>}
   */
  chooseQuery(query) {
    if (this.state.view === "map") return { query };
    return { query: Math.max(0, Math.min(query, this.matrix.queries - 1)), key: null };
  }

  /**
   * Zoom about the cursor; 0 shows all.
   * @param {number} factor
   */
  zoom(factor) {
    const { map, cursor } = this;
    const [x, y] = map.toPixels(cursor.query + 0.5, cursor.key + 0.5);
    map.zoom(factor, x, y);
    if (factor) map.scrollToCursor();
    this.paint();
    this.writeAddress();
    this.announce(map.fit ? "All in view" : `${map.scale.toPrecision(2)} pixels a token`);
  }
}

/**
 * Show a record in an element.
 * @param {HTMLElement} root
 * @param {Metadata} metadata
 * @param {Source} source
 * @param {Location | null} address that the state is read from and written to, if the page may have one
 */
export async function start(root, metadata, source, address = null) {
  const app = new App(root, metadata, source, address);
  await app.open();
  return app;
}
