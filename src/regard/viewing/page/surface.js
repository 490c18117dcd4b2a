// Two things to draw on with the same few strokes: a canvas, and an SVG for the download.

import { h } from "./dom.js";

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif';
const measuring = h("canvas").getContext("2d");

export function widthOf(text, size = 12, weight = 400) {
  measuring.font = `${weight} ${size}px ${FONT}`;
  return measuring.measureText(text).width;
}

// Text cut with an ellipsis to fit a width.
export function fitted(text, width, size = 12, weight = 400) {
  if (widthOf(text, size, weight) <= width) return text;
  let [low, high] = [0, Math.min(text.length, 200)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (widthOf(`${text.slice(0, middle)}…`, size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low).replace(/[\ud800-\udbff\u200d]$/, "")}…`;
}

export class CanvasSurface {
  constructor(canvas, width, height, ratio = window.devicePixelRatio || 1) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.pen = canvas.getContext("2d");
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    Object.assign(this, { width, height });
  }

  rect(x, y, width, height, { fill = null, stroke = null, line = 1, radius = 0 }) {
    this.pen.beginPath();
    this.pen.roundRect(x, y, width, height, radius);
    if (fill) {
      this.pen.fillStyle = fill;
      this.pen.fill();
    }
    if (stroke) {
      this.pen.strokeStyle = stroke;
      this.pen.lineWidth = line;
      this.pen.stroke();
    }
  }

  // `turn` is degrees about the point the text hangs on.
  text(text, x, y, { size = 12, weight = 400, color, align = "left", turn = 0 }) {
    this.pen.save();
    this.pen.translate(x, y);
    this.pen.rotate((turn * Math.PI) / 180);
    this.pen.font = `${weight} ${size}px ${FONT}`;
    this.pen.fillStyle = color;
    this.pen.textAlign = align;
    this.pen.textBaseline = "middle";
    this.pen.fillText(text, 0, 0);
    this.pen.restore();
  }

  curve(x1, y1, x2, y2, { color, line, opacity = 1 }) {
    const middle = (x1 + x2) / 2;
    this.pen.globalAlpha = opacity;
    this.pen.strokeStyle = color;
    this.pen.lineWidth = line;
    this.pen.beginPath();
    this.pen.moveTo(x1, y1);
    this.pen.bezierCurveTo(middle, y1, middle, y2, x2, y2);
    this.pen.stroke();
    this.pen.globalAlpha = 1;
  }

  // Part of a picture, unsmoothed: each cell stays a cell.
  image(picture, from, to) {
    this.pen.imageSmoothingEnabled = false;
    this.pen.drawImage(picture, ...from, ...to);
  }

  clip(x, y, width, height, draw) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(x, y, width, height);
    this.pen.clip();
    draw();
    this.pen.restore();
  }
}

const XML = "http://www.w3.org/2000/svg";

export class SvgSurface {
  constructor(width, height) {
    this.root = document.createElementNS(XML, "svg");
    this.into = this.root;
    this.set(this.root, { xmlns: XML, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
    Object.assign(this, { width, height, clips: 0 });
  }

  set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value != null) element.setAttribute(name, typeof value === "number" ? Number(value.toFixed(3)) : value);
    }
    return element;
  }

  add(tag, attributes) {
    return this.into.appendChild(this.set(document.createElementNS(XML, tag), attributes));
  }

  rect(x, y, width, height, { fill = "none", stroke = null, line = null, radius = null }) {
    this.add("rect", { x, y, width, height, fill: fill ?? "none", stroke, "stroke-width": line, rx: radius || null });
  }

  text(text, x, y, { size = 12, weight = null, color, align = "left", turn = 0 }) {
    const anchor = { left: null, center: "middle", right: "end" }[align];
    const transform = turn ? `rotate(${turn} ${x.toFixed(2)} ${y.toFixed(2)})` : null;
    const shared = { "font-size": size, "font-weight": weight, fill: color, "text-anchor": anchor, transform };
    this.add("text", { x, y, "dominant-baseline": "central", ...shared }).textContent = text;
  }

  curve(x1, y1, x2, y2, { color, line, opacity = null }) {
    const middle = ((x1 + x2) / 2).toFixed(2);
    const path = `M${x1.toFixed(2)} ${y1.toFixed(2)}C${middle} ${y1.toFixed(2)} ${middle} ${y2.toFixed(2)} ${x2.toFixed(2)} ${y2.toFixed(2)}`;
    this.add("path", { d: path, fill: "none", stroke: color, "stroke-width": line, opacity });
  }

  image(picture, [sx, sy, sw, sh], [x, y, width, height]) {
    const part = h("canvas", { width: Math.max(1, Math.ceil(sx + sw) - Math.floor(sx)), height: Math.max(1, Math.ceil(sy + sh) - Math.floor(sy)) });
    part.getContext("2d").drawImage(picture, -Math.floor(sx), -Math.floor(sy));
    const [wide, tall] = [width / sw, height / sh];
    this.add("image", {
      href: part.toDataURL("image/png"),
      x: x - (sx - Math.floor(sx)) * wide,
      y: y - (sy - Math.floor(sy)) * tall,
      width: part.width * wide,
      height: part.height * tall,
      preserveAspectRatio: "none",
      "image-rendering": "pixelated",
    });
  }

  clip(x, y, width, height, draw) {
    const id = `clip${this.clips++}`;
    const path = this.add("clipPath", { id });
    path.appendChild(this.set(document.createElementNS(XML, "rect"), { x, y, width, height }));
    const outside = this.into;
    this.into = this.add("g", { "clip-path": `url(#${id})` });
    draw();
    this.into = outside;
  }

  toString() {
    return new XMLSerializer().serializeToString(this.root);
  }
}
