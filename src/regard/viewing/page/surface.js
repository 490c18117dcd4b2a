// Two surfaces to draw on with one set of strokes: a canvas, and an SVG for the download.

import { h } from "./dom.js";

/** @import { Box, CurveStyle, RectStyle, Surface, TextStyle } from "./types" */

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif';
const MAX_FITTED = 200; // characters of a text that are tried

/** @type {CanvasRenderingContext2D | undefined} */
let measuring;

/**
 * The width of a text in pixels.
 * @param {string} text
 * @param {number} size
 * @param {number} weight
 */
export function textWidth(text, size = 12, weight = 400) {
  measuring ??= contextOf(h("canvas"));
  measuring.font = `${weight} ${size}px ${FONT}`;
  return measuring.measureText(text).width;
}

/**
 * A text cut with an ellipsis to fit a width.
 * @param {string} text
 * @param {number} width
 * @param {number} size
 * @param {number} weight
 */
export function fitText(text, width, size = 12, weight = 400) {
  if (textWidth(text, size, weight) <= width) return text;
  let [low, high] = [0, Math.min(text.length, MAX_FITTED)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (textWidth(`${text.slice(0, middle)}…`, size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  // Neither half a surrogate pair nor a joiner without what it joins is left at the end.
  return `${text.slice(0, low).replace(/[\ud800-\udbff\u200d]$/, "")}…`;
}

/**
 * @param {HTMLCanvasElement} canvas
 */
export function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas");
  return context;
}

/** @implements {Surface} */
export class CanvasSurface {
  /**
   * @param {HTMLCanvasElement} canvas resized to hold the surface
   * @param {number} width in CSS pixels
   * @param {number} height
   * @param {number} ratio device pixels per CSS pixel
   */
  constructor(canvas, width, height, ratio = window.devicePixelRatio || 1) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.context = contextOf(canvas);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.width = width;
    this.height = height;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {RectStyle} style
   */
  rect(x, y, width, height, { fill = null, stroke = null, line = 1, radius = 0 }) {
    this.context.beginPath();
    this.context.roundRect(x, y, width, height, radius);
    if (fill) {
      this.context.fillStyle = fill;
      this.context.fill();
    }
    if (stroke) {
      this.context.strokeStyle = stroke;
      this.context.lineWidth = line;
      this.context.stroke();
    }
  }

  /**
   * @param {string} text
   * @param {number} x
   * @param {number} y
   * @param {TextStyle} style
   */
  text(text, x, y, { size = 12, weight = 400, color, align = "left", turn = 0 }) {
    this.context.save();
    this.context.translate(x, y);
    this.context.rotate((turn * Math.PI) / 180);
    this.context.font = `${weight} ${size}px ${FONT}`;
    this.context.fillStyle = color;
    this.context.textAlign = align;
    this.context.textBaseline = "middle";
    this.context.fillText(text, 0, 0);
    this.context.restore();
  }

  /**
   * @param {number} x1
   * @param {number} y1
   * @param {number} x2
   * @param {number} y2
   * @param {CurveStyle} style
   */
  curve(x1, y1, x2, y2, { color, line, opacity = 1 }) {
    const middle = (x1 + x2) / 2;
    this.context.globalAlpha = opacity;
    this.context.strokeStyle = color;
    this.context.lineWidth = line;
    this.context.beginPath();
    this.context.moveTo(x1, y1);
    this.context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
    this.context.stroke();
    this.context.globalAlpha = 1;
  }

  /**
   * @param {HTMLCanvasElement} picture
   * @param {Box} from
   * @param {Box} to
   */
  image(picture, from, to) {
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(picture, ...from, ...to);
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {() => void} draw
   */
  clip(x, y, width, height, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
    draw();
    this.context.restore();
  }
}

const XML = "http://www.w3.org/2000/svg";

/** @typedef {Record<string, string | number | null | undefined>} SvgAttributes */

/** @implements {Surface} */
export class SvgSurface {
  /**
   * @param {number} width
   * @param {number} height
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.clips = 0;
    this.root = svgElement("svg", { xmlns: XML, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
    this.parent = this.root; // that new elements go to
  }

  /**
   * @param {string} tag
   * @param {SvgAttributes} attributes
   */
  add(tag, attributes) {
    return this.parent.appendChild(svgElement(tag, attributes));
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {RectStyle} style
   */
  rect(x, y, width, height, { fill, stroke, line, radius }) {
    this.add("rect", { x, y, width, height, fill: fill ?? "none", stroke, "stroke-width": line, rx: radius || null });
  }

  /**
   * @param {string} text
   * @param {number} x
   * @param {number} y
   * @param {TextStyle} style
   */
  text(text, x, y, { size = 12, weight, color, align = "left", turn = 0 }) {
    const anchor = { left: null, center: "middle", right: "end" }[align];
    const transform = turn ? `rotate(${turn} ${x.toFixed(2)} ${y.toFixed(2)})` : null;
    const style = { "font-size": size, "font-weight": weight, fill: color, "text-anchor": anchor, transform };
    this.add("text", { x, y, "dominant-baseline": "central", ...style }).textContent = text;
  }

  /**
   * @param {number} x1
   * @param {number} y1
   * @param {number} x2
   * @param {number} y2
   * @param {CurveStyle} style
   */
  curve(x1, y1, x2, y2, { color, line, opacity }) {
    const middle = ((x1 + x2) / 2).toFixed(2);
    const [left, right] = [`${x1.toFixed(2)} ${y1.toFixed(2)}`, `${x2.toFixed(2)} ${y2.toFixed(2)}`];
    const path = `M${left}C${middle} ${y1.toFixed(2)} ${middle} ${y2.toFixed(2)} ${right}`;
    this.add("path", { d: path, fill: "none", stroke: color, "stroke-width": line, opacity });
  }

  /**
   * @param {HTMLCanvasElement} picture
   * @param {Box} from
   * @param {Box} to
   */
  image(picture, [sx, sy, sw, sh], [x, y, width, height]) {
    // Only the whole cells that are in sight go into the file.
    const [left, top] = [Math.floor(sx), Math.floor(sy)];
    const part = h("canvas", { width: Math.max(1, Math.ceil(sx + sw) - left), height: Math.max(1, Math.ceil(sy + sh) - top) });
    contextOf(part).drawImage(picture, -left, -top);
    const [cellWidth, cellHeight] = [width / sw, height / sh];
    this.add("image", {
      href: part.toDataURL("image/png"),
      x: x - (sx - left) * cellWidth,
      y: y - (sy - top) * cellHeight,
      width: part.width * cellWidth,
      height: part.height * cellHeight,
      preserveAspectRatio: "none",
      "image-rendering": "pixelated",
    });
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {() => void} draw
   */
  clip(x, y, width, height, draw) {
    const id = `clip${this.clips++}`;
    this.add("clipPath", { id }).appendChild(svgElement("rect", { x, y, width, height }));
    const outside = this.parent;
    this.parent = this.add("g", { "clip-path": `url(#${id})` });
    draw();
    this.parent = outside;
  }

  toString() {
    return new XMLSerializer().serializeToString(this.root);
  }
}

/**
 * @param {string} tag
 * @param {SvgAttributes} attributes those that are null or undefined are left out
 */
function svgElement(tag, attributes) {
  const element = document.createElementNS(XML, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null) element.setAttribute(name, typeof value === "number" ? String(Number(value.toFixed(3))) : value);
  }
  return element;
}
