// The page: state in, picture out. `start` is all the outside needs.

import { Atlas } from "./atlas.js";
import { Controls } from "./controls.js";
import { h, plural } from "./dom.js";
import { LinksView } from "./links.js";
import { MapView } from "./map.js";
import { Overview } from "./overview.js";
import { Readout } from "./readout.js";
import { Shades } from "./shades.js";
import { CanvasSurface } from "./surface.js";
import { TextView } from "./text.js";
import { Pointer } from "./pointer.js";
import { fromHash, initial, toHash } from "./state.js";

const HELP = {
  map: "Arrow keys move the cursor, with Shift by ten. Home and End go to the ends of the row, Page Up and Page Down to those of the column. T goes to the row's largest weight. Plus and minus zoom, 0 shows all.",
  links: "Up and Down choose a query, T its strongest key, Left and Right move between keys.",
};

// What the ids of one view begin with. A notebook loads the front end anew for every widget, so nothing can be counted.
function unlikeAny() {
  return `regard-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
}

export class App {
  constructor(root, about, source, { address = null } = {}) {
    Object.assign(this, { root, about, source, address, id: unlikeAny() });
    this.atlas = new Atlas(about, source);
    this.state = address ? fromHash(address.hash, about) : initial(about);
    this.found = { rows: new Set(), columns: new Set() };
    this.palettes = { light: new Shades(about.palettes.light), dark: new Shades(about.palettes.dark) };
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    const single = about.tracks.length === 1 && about.tracks[0].heads === 1;
    this.controls = new Controls(this, single ? ["map", "links", "text"] : ["overview", "map", "links", "text"]);
    this.map = new MapView(this);
    this.links = new LinksView(this);
    this.text = new TextView(this);
    this.overview = new Overview(this);
    this.readout = new Readout(this);
    this.build();
  }

  build() {
    const { about } = this;
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "attention map", "aria-describedby": `${this.id}-help`, onkeydown: (event) => this.key(event) });
    this.help = h("p", { class: "help", id: `${this.id}-help` });
    this.hint = h("div", { class: "hint", hidden: true, "aria-hidden": "true" });
    this.live = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this.stage = h("div", { class: "stage", id: `${this.id}-stage`, role: "tabpanel" }, this.canvas, this.text.element, this.overview.element, this.hint);
    const heads = about.tracks.reduce((sum, track) => sum + track.heads, 0);
    const facts = `${plural(about.tracks.length, "layer")} · ${plural(heads, "head")}`;
    const notes = [about.reading && `Cross-attention is read ${about.reading}.`, ...about.notes].filter(Boolean);
    this.root.classList.add("regard");
    this.root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, about.title || "Attention"), h("p", { class: "facts" }, facts), notes.map((note) => h("p", { class: "facts" }, note))),
        this.controls.corner),
      about.verdict ? h("p", { class: "verdict" }, h("strong", {}, "How far to trust it "), about.verdict) : "",
      this.controls.element,
      h("div", { class: "body" }, h("div", { class: "seen" }, this.stage, this.help), this.readout.element),
      this.live);
    this.pointer = new Pointer(this);
    new ResizeObserver(() => this.paint()).observe(this.stage);
    this.dark.addEventListener("change", () => this.set({}));
    if (this.address) window.addEventListener("hashchange", () => this.restore());
  }

  async open() {
    if (this.controls.tabs.length === 4) await this.overview.open();
    await this.set({});
    const { x, y, zoom } = this.state;
    if (zoom !== null) {
      this.paint();
      Object.assign(this.map, { x: x ?? 0, y: y ?? 0, scale: zoom, fit: false });
      this.paint();
    }
    this.root.dataset.ready = "true";
  }

  restore() {
    const hash = this.address.hash.replace(/^#/, "");
    if (hash !== toHash(this.state, this.about)) this.set(fromHash(hash, this.about));
  }

  // Change what is looked at. A later call wins over one that is still opening its map.
  async set(patch, { reveal = false, focus = false } = {}) {
    if ("words" in patch || "hideSpecial" in patch) patch = this.stay(patch);
    Object.assign(this.state, patch);
    const { state } = this;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const heads = this.about.tracks[state.track].heads;
    if (typeof state.head === "number" && state.head >= heads) state.head = "mean";
    const sheet = await this.atlas.sheet(state.track, state);
    if (turn !== this.turn) return;
    if (sheet !== this.sheet) this.turnTo(sheet);
    state.query = Math.max(0, Math.min(state.query, sheet.queries - 1));
    state.key ??= sheet.row(state.query, 1)[0]?.index ?? 0; // nobody has chosen: the strongest
    state.key = Math.max(0, Math.min(state.key, sheet.keys - 1));
    if ("find" in patch || this.searched !== sheet) this.search();
    if ("query" in patch || "key" in patch || reveal) this.reveal();
    this.render(patch);
    if (focus) this.focus();
  }

  // The cursor stays on its tokens when they are merged or when others are hidden.
  stay(patch) {
    const { state, atlas, about } = this;
    const track = about.tracks[state.track];
    if (track.kept === "blocks" || "query" in patch) return patch;
    const moved = (axis, index) => {
      const piece = atlas.places(axis, state)[index];
      return Math.max(0, atlas.places(axis, { ...state, ...patch }).findLastIndex((start) => start <= piece));
    };
    return { ...patch, query: moved(track.queries, state.query), key: moved(track.keys, state.key) };
  }

  turnTo(sheet) {
    const alike = this.sheet && sheet.queries === this.sheet.queries && sheet.keys === this.sheet.keys;
    this.sheet = sheet;
    if (!alike) this.map.fit = true;
  }

  reveal() {
    if (this.map.wide) this.map.follow();
    if (this.links.rows) this.links.follow();
  }

  focus() {
    (this.state.view === "text" ? this.text.keys : this.canvas).focus();
  }

  search() {
    this.searched = this.sheet;
    const wanted = this.state.find.trim().toLocaleLowerCase();
    for (const side of ["rows", "columns"]) {
      const places = wanted ? this.sheet[side].flatMap((piece, i) => (piece.toLocaleLowerCase().includes(wanted) ? [i] : [])) : [];
      this.found[side] = new Set(places);
    }
  }

  // Go to the next token found: keys first, then queries.
  next(step) {
    const all = [...[...this.found.columns].map((key) => ({ key })), ...[...this.found.rows].map((query) => ({ query }))];
    if (!all.length) return this.say("Nothing found");
    this.match = ((this.match ?? -step + (step < 0 ? 1 : 0)) + step + all.length) % all.length;
    return this.set(all[this.match], { reveal: true });
  }

  render(patch = {}) {
    const { state } = this;
    this.theme();
    const canvas = state.view === "map" || state.view === "links";
    this.canvas.hidden = !canvas;
    this.help.textContent = HELP[state.view] ?? "";
    this.help.hidden = !canvas;
    this.text.element.hidden = state.view !== "text";
    this.overview.element.hidden = state.view !== "overview";
    this.stage.setAttribute("aria-labelledby", `${this.id}-tab-${state.view}`);
    this.readout.element.hidden = state.view === "overview";
    this.controls.render();
    this.readout.render();
    if (state.view === "text") this.text.render();
    if (state.view === "overview") this.overview.render();
    this.canvas.setAttribute("aria-label", this.readout.sentence());
    this.paint();
    if ("query" in patch || "key" in patch) this.say(this.readout.sentence());
    this.remember();
  }

  theme() {
    const { theme } = this.state;
    const name = theme === "system" ? (this.dark.matches ? "dark" : "light") : theme;
    this.root.dataset.theme = name;
    this.shades = this.palettes[name];
    const style = getComputedStyle(this.root);
    this.ink = Object.fromEntries(["text", "muted", "rule", "paper", "cursor", "found"].map((color) => [color, style.getPropertyValue(`--${color}`).trim()]));
  }

  // At most once a frame, however often something changes.
  paint() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.canvas.hidden || !this.sheet) return;
      const { clientWidth, clientHeight } = this.canvas;
      if (!clientWidth || !clientHeight) return;
      const surface = new CanvasSurface(this.canvas, clientWidth, clientHeight);
      this[this.state.view].draw(surface);
    });
  }

  // The view as a picture to download, and its size.
  picture() {
    const [width, height] = [this.stage.clientWidth, Math.max(320, this.stage.clientHeight)];
    return { view: this[this.state.view], width, height };
  }

  // The address follows what is seen, but not thirty times a second.
  remember() {
    if (!this.address) return;
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      const { fit, x, y, scale } = this.map;
      Object.assign(this.state, fit ? { x: null, y: null, zoom: null } : { x, y, zoom: scale });
      history.replaceState(null, "", `#${toHash(this.state, this.about)}`);
    }, 200);
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.say("Link copied");
    } catch {
      this.say("The link is in the address bar");
    }
  }

  say(text) {
    this.live.textContent = text;
  }

  key(event) {
    const { state, sheet } = this;
    const far = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: { key: state.key - far }, ArrowRight: { key: state.key + far },
      ArrowUp: this.turned(state.query - far), ArrowDown: this.turned(state.query + far),
      Home: { key: 0 }, End: { key: sheet.keys - 1 },
      PageUp: { query: 0 }, PageDown: { query: sheet.queries - 1 },
      t: { key: sheet.row(state.query, 1)[0]?.index ?? state.key },
    };
    const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (name in moves) this.set(moves[name], { reveal: true });
    else if (name in zooms && state.view === "map") this.zoom(zooms[name]);
    else return;
    event.preventDefault();
  }

  // Another query. Where texts are read, it brings the key it looks at most; on the map the key stays.
  turned(query) {
    return this.state.view === "map" ? { query } : { query: Math.max(0, Math.min(query, this.sheet.queries - 1)), key: null };
  }

  // Zoom about the cursor, so that the keyboard lands where it looks.
  zoom(factor) {
    const { map, state } = this;
    const [x, y] = map.place(state.query + 0.5, state.key + 0.5);
    map.zoom(factor, x, y);
    if (factor) map.follow();
    this.paint();
    this.remember();
    this.say(map.fit ? "All in view" : `${map.scale.toPrecision(2)} pixels a token`);
  }
}

export async function start(root, about, source, options) {
  const app = new App(root, about, source, options);
  await app.open();
  return app;
}
