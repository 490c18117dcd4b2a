// Mouse, pen and fingers on the canvas: point, choose, pan, zoom, pinch.

import { number, short } from "./dom.js";

const STILL = 5; // pixels a tap may slip

export class Pointer {
  constructor(app) {
    this.app = app;
    this.down = new Map();
    const on = (name, act, options) => app.canvas.addEventListener(name, act, options);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.down.delete(event.pointerId));
    on("pointerleave", () => this.leave());
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("dblclick", (event) => app.state.view === "map" && this.zoom(2, event.offsetX, event.offsetY));
  }

  press(event) {
    this.app.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (this.down.size === 1) this.start = { x: event.offsetX, y: event.offsetY, moved: false };
  }

  move(event) {
    const { app } = this;
    const before = this.down.get(event.pointerId);
    if (!before) return this.point(event.offsetX, event.offsetY);
    const now = { x: event.offsetX, y: event.offsetY };
    this.start.moved ||= Math.hypot(now.x - this.start.x, now.y - this.start.y) > STILL;
    if (this.down.size === 2) this.pinch(event.pointerId, before, now);
    else if (this.start.moved && app.state.view === "map") app.map.pan(now.x - before.x, now.y - before.y);
    else if (this.start.moved) this.scroll(before.y - now.y);
    this.down.set(event.pointerId, now);
    app.hint.hidden = true;
    app.paint();
    return app.remember();
  }

  pinch(id, before, now) {
    const other = [...this.down].find(([each]) => each !== id)[1];
    this.start.moved = true;
    if (this.app.state.view !== "map") return;
    const spread = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    this.app.map.zoom(spread(now) / spread(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  release(event) {
    const { app } = this;
    const tapped = this.down.delete(event.pointerId) && !this.down.size && !this.start.moved;
    if (!tapped) return;
    const hit = app[app.state.view].hit(event.offsetX, event.offsetY);
    if (hit?.side) app.set(hit.side === "rows" ? app.turned(hit.index) : { key: hit.index });
    else if (hit) app.set(hit);
    app.links.hover = null;
  }

  point(x, y) {
    const { app } = this;
    const hit = app[app.state.view].hit(x, y);
    if (app.state.view === "links") {
      app.links.hover = hit;
      return app.paint();
    }
    app.hint.hidden = !hit || x < app.map.left || y < app.map.top;
    if (app.hint.hidden) return undefined;
    const { weight, exact } = app.sheet.weight(hit.query, hit.key);
    const [from, to] = [app.sheet.rows[hit.query], app.sheet.columns[hit.key]].map((piece) => short(piece, 30));
    app.hint.textContent = `\u2068${from}\u2069 → \u2068${to}\u2069  ${number(weight, exact)}`;
    const flip = x > app.canvas.clientWidth - 240;
    app.hint.style.translate = `${flip ? `calc(${x - 14}px - 100%)` : `${x + 14}px`} ${Math.max(0, y - 34)}px`;
    return undefined;
  }

  leave() {
    const { app } = this;
    app.hint.hidden = true;
    if (app.links.hover) {
      app.links.hover = null;
      app.paint();
    }
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1);
    if (this.app.state.view === "links") this.scroll(pixels);
    else this.zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) / 300), event.offsetX, event.offsetY);
  }

  scroll(pixels) {
    const lines = (this.rest ?? 0) + pixels / 22;
    this.app.links.scroll(Math.trunc(lines));
    this.rest = lines - Math.trunc(lines);
    this.app.paint();
  }

  zoom(factor, x, y) {
    this.app.map.zoom(factor, x, y);
    this.app.hint.hidden = true;
    this.app.paint();
    this.app.remember();
  }
}
