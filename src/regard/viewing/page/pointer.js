// Mouse, pen and fingers on the canvas: hover, choose, pan, zoom, pinch.

import { formatWeight, truncate } from "./dom.js";
import { LINE } from "./links.js";

/** @import { App } from "./main.js" */

const TAP_SLIP = 5; // pixels a tap may move
const HINT_ROOM = 240; // pixels that a tooltip needs at the right
// Pixels per unit of a wheel that counts in lines or in pages.
const WHEEL_LINE = 18;
const WHEEL_PAGE = 400;
const MAX_WHEEL = 240; // pixels per event
const WHEEL_ZOOM = 300; // pixels that zoom by a factor of e

/** @typedef {{ x: number, y: number }} Point */

export class Pointer {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<number, Point>} */
    this.down = new Map(); // where each pointer is that is pressed, by its id
    /** @type {Point} */
    this.start = { x: 0, y: 0 };
    this.moved = false;
    this.rest = 0; // part of a line that was scrolled
    const { canvas } = app;
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", (event) => this.down.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.onLeave());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => app.state.view === "map" && this.zoom(2, pointOf(event)));
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    this.app.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, pointOf(event));
    if (this.down.size === 1) [this.start, this.moved] = [pointOf(event), false];
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { app } = this;
    const before = this.down.get(event.pointerId);
    const now = pointOf(event);
    if (!before) return this.hover(now);
    this.moved ||= distance(now, this.start) > TAP_SLIP;
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    if (this.down.size === 2 && other) this.pinch(before, now, other);
    else if (this.moved && app.state.view === "map") app.map.pan(now.x - before.x, now.y - before.y);
    else if (this.moved) this.scroll(before.y - now.y);
    this.down.set(event.pointerId, now);
    app.tooltip.hidden = true;
    app.paint();
    return app.writeAddress();
  }

  /**
   * @param {Point} before
   * @param {Point} now
   * @param {Point} other the second finger
   */
  pinch(before, now, other) {
    this.moved = true;
    if (this.app.state.view !== "map") return;
    const factor = Math.max(1, distance(now, other)) / Math.max(1, distance(before, other));
    this.app.map.zoom(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    const { app } = this;
    const tapped = this.down.delete(event.pointerId) && !this.down.size && !this.moved;
    if (!tapped) return;
    const { x, y } = pointOf(event);
    if (app.state.view === "links") {
      const hit = app.links.hit(x, y);
      if (hit) app.set(hit.side === "rows" ? app.chooseQuery(hit.index) : { key: hit.index });
    } else {
      const hit = app.map.hit(x, y);
      if (hit) app.set(hit);
    }
    app.links.hover = null;
  }

  /** @param {Point} point */
  hover({ x, y }) {
    const { app } = this;
    if (app.state.view === "links") {
      app.links.hover = app.links.hit(x, y);
      return app.paint();
    }
    const hit = app.map.hit(x, y);
    app.tooltip.hidden = !hit || x < app.map.left || y < app.map.top;
    if (!hit || app.tooltip.hidden) return undefined;
    const { weight, exact } = app.matrix.weight(hit.query, hit.key);
    const [from, to] = [app.matrix.rows[hit.query], app.matrix.columns[hit.key]].map((piece) => truncate(piece, 30));
    // Isolated (U+2068, U+2069), so that the arrow points from query to key whatever their direction is.
    app.tooltip.textContent = `\u2068${from}\u2069 → \u2068${to}\u2069  ${formatWeight(weight, exact)}`;
    const flip = x > app.canvas.clientWidth - HINT_ROOM;
    app.tooltip.style.translate = `${flip ? `calc(${x - 14}px - 100%)` : `${x + 14}px`} ${Math.max(0, y - 34)}px`;
    return undefined;
  }

  onLeave() {
    const { app } = this;
    app.tooltip.hidden = true;
    if (app.links.hover) {
      app.links.hover = null;
      app.paint();
    }
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    event.preventDefault();
    const { DOM_DELTA_LINE, DOM_DELTA_PAGE } = WheelEvent;
    const unit = event.deltaMode === DOM_DELTA_LINE ? WHEEL_LINE : event.deltaMode === DOM_DELTA_PAGE ? WHEEL_PAGE : 1;
    const pixels = event.deltaY * unit;
    if (this.app.state.view === "links") this.scroll(pixels);
    else this.zoom(Math.exp(-Math.max(-MAX_WHEEL, Math.min(MAX_WHEEL, pixels)) / WHEEL_ZOOM), pointOf(event));
  }

  /** @param {number} pixels */
  scroll(pixels) {
    const lines = this.rest + pixels / LINE;
    this.app.links.scroll(Math.trunc(lines));
    this.rest = lines - Math.trunc(lines);
    this.app.paint();
  }

  /**
   * @param {number} factor
   * @param {Point} point that stays where it is
   */
  zoom(factor, { x, y }) {
    this.app.map.zoom(factor, x, y);
    this.app.tooltip.hidden = true;
    this.app.paint();
    this.app.writeAddress();
  }
}

/**
 * Where an event is, in pixels of the canvas.
 * @param {MouseEvent} event
 * @returns {Point}
 */
function pointOf(event) {
  return { x: event.offsetX, y: event.offsetY };
}

/**
 * @param {Point} a
 * @param {Point} b
 */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
