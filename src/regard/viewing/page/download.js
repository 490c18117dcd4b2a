// What is on screen as PNG or SVG, and its numbers as CSV.

import { h } from "./dom.js";
import { CanvasSurface, SvgSurface } from "./surface.js";

const WHOLE = 1 << 22; // cells; beyond this the CSV lists the largest of each row

export function save(app, format) {
  const name = `${(app.about.title || "attention").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.${format}`;
  if (format === "csv") return give(new Blob(["\ufeff", table(app.sheet)], { type: "text/csv" }), name);
  const { view, width, height } = app.picture();
  if (format === "svg") {
    const surface = new SvgSurface(width, height);
    surface.rect(0, 0, width, height, { fill: app.ink.paper });
    view.draw(surface);
    return give(new Blob([surface.toString()], { type: "image/svg+xml" }), name);
  }
  const canvas = h("canvas");
  const surface = new CanvasSurface(canvas, width, height, 2);
  surface.rect(0, 0, width, height, { fill: app.ink.paper });
  view.draw(surface);
  return canvas.toBlob((blob) => give(blob, name));
}

function give(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// A matrix with the keys as its header; of a large map, one line per weight that is held exactly.
export function table(sheet) {
  const lines = [];
  if (sheet.kept === "blocks" || sheet.queries * sheet.keys > WHOLE) {
    lines.push("query,query token,key,key token,weight");
    for (let query = 0; query < sheet.queries; query++) {
      for (const { index, weight } of sheet.row(query, 32)) {
        lines.push([query + 1, quoted(sheet.rows[query]), index + 1, quoted(sheet.columns[index]), weight].join(","));
      }
    }
  } else {
    lines.push(["", ...sheet.columns.map(quoted)].join(","));
    for (let query = 0; query < sheet.queries; query++) {
      lines.push([quoted(sheet.rows[query]), ...Array.from(sheet.line(query), (weight) => Number(weight.toPrecision(7)))].join(","));
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

function quoted(text) {
  return `"${text.replaceAll('"', '""')}"`;
}
