// Every layer and head at a glance; each small map opens the large one.

import { h, plural } from "./dom.js";
import { Reader, WEIGHT_OF_CODE, inflate } from "./codec.js";

export class Overview {
  constructor(app) {
    this.app = app;
    this.element = h("div", { class: "overview", hidden: true });
  }

  async open() {
    const { tracks, thumbnail } = this.app.about;
    this.side = thumbnail;
    this.most = Math.max(...tracks.map((track) => track.heads));
    const read = new Reader(await inflate(this.app.source.chunk("thumbnails")));
    this.codes = tracks.map((track) => Array.from({ length: track.heads }, () => read.take(Uint8Array, thumbnail ** 2)));
    const heads = Array.from({ length: this.most }, (_, i) => h("span", { class: "column", "aria-hidden": "true" }, String(i + 1)));
    const rows = tracks.map((track, row) => [
      h("span", { class: "row" }, track.label),
      ...Array.from({ length: this.most }, (_, head) => (head < track.heads ? this.cell(track, row, head) : h("span"))),
    ]);
    this.element.style.setProperty("--heads", this.most);
    this.element.append(h("span"), ...heads, ...rows.flat());
    this.element.addEventListener("keydown", (event) => this.move(event));
  }

  cell(track, row, head) {
    const canvas = h("canvas", { width: this.side, height: this.side, "aria-hidden": "true" });
    const entropy = track.entropy[head].toFixed(2);
    const label = `${track.label}, head ${head + 1} of ${plural(track.heads, "head")}, mean entropy ${entropy} nats`;
    return h("button", {
      class: "thumb", "aria-label": label, title: label, "data-row": row, "data-head": head,
      tabindex: row === 0 && head === 0 ? "0" : "-1",
      onclick: () => this.app.set({ track: row, head, view: track.shape[0] === 1 ? "text" : "map" }, { focus: true }),
    }, canvas);
  }

  move(event) {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const here = event.target.closest("[data-row]");
    if (!step || !here) return;
    event.preventDefault();
    const next = this.button(Number(here.dataset.row) + step[0], Number(here.dataset.head) + step[1]);
    if (!next) return;
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  button(row, head) {
    return this.element.querySelector(`[data-row="${row}"][data-head="${head}"]`);
  }

  render() {
    const { state } = this.app;
    this.codes.forEach((heads, row) => heads.forEach((codes, head) => {
      const button = this.button(row, head);
      button.firstChild.getContext("2d").putImageData(this.picture(codes), 0, 0);
      const chosen = state.track === row && (state.head === head || this.codes[row].length === 1);
      button.toggleAttribute("data-chosen", chosen);
    }));
  }

  picture(codes) {
    const { shades, state } = this.app;
    const peak = WEIGHT_OF_CODE[codes.reduce((most, code) => Math.max(most, code), 0)];
    const table = shades.table(peak, state.scale === "row" ? "linear" : state.scale);
    const picture = new ImageData(this.side, this.side);
    new Uint32Array(picture.data.buffer).set(Uint32Array.from(codes, (code) => table[code]));
    return picture;
  }

  draw(surface) {
    const { about, ink } = this.app;
    const room = Math.min(84, (surface.width - 120) / this.most, (surface.height - 30) / about.tracks.length);
    const canvas = h("canvas", { width: this.side, height: this.side });
    for (let head = 0; head < this.most; head++) {
      surface.text(String(head + 1), 110 + (head + 0.5) * room, 14, { size: 11, color: ink.muted, align: "center" });
    }
    this.codes.forEach((heads, row) => {
      surface.text(about.tracks[row].label, 100, 28 + (row + 0.5) * room, { color: ink.text, align: "right" });
      heads.forEach((codes, head) => {
        canvas.getContext("2d").putImageData(this.picture(codes), 0, 0);
        surface.image(canvas, [0, 0, this.side, this.side], [110 + head * room + 2, 28 + row * room + 2, room - 4, room - 4]);
      });
    });
  }
}
