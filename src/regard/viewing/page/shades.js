// From weight to colour, the same scale as every other view.

import { WEIGHT_OF_CODE, codeOfWeight } from "./codec.js";

const SHOWN_DECADES = 4; // how far below the largest weight the log scale reaches

export class Shades {
  // `hex` is 256 colours as one string of six digits each.
  constructor(hex) {
    this.colors = Array.from({ length: 256 }, (_, i) => `#${hex.slice(6 * i, 6 * i + 6)}`);
    this.pixels = Uint32Array.from(this.colors, (color) => {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
      return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    });
  }

  level(weight, peak, scale) {
    const share = weight / Math.max(peak, 1e-30);
    const level = scale === "log" ? 1 + Math.log10(Math.max(share, 1e-30)) / SHOWN_DECADES : share;
    return Math.min(1, Math.max(0, level));
  }

  // What the darkest shade of a text stands for: at least four times the even share, so that a text read
  // evenly is pale all over.
  standout(peak, tokens) {
    return Math.max(peak, Math.min(1, 4 / tokens));
  }

  color(weight, peak, scale) {
    return this.colors[Math.round(255 * this.level(weight, peak, scale))];
  }

  // Black or white, whichever is easier to read on that colour.
  ink(weight, peak, scale) {
    const pixel = this.pixels[Math.round(255 * this.level(weight, peak, scale))];
    const [red, green, blue] = [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255].map((byte) => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
  }

  // Code -> pixel, for drawing many cells.
  table(peak, scale) {
    return Uint32Array.from(WEIGHT_OF_CODE, (weight) => this.pixels[Math.round(255 * this.level(weight, peak, scale))]);
  }

  // One table for each row's own largest weight; rows with alike peaks share.
  tableOfRow(tables, peak) {
    const code = codeOfWeight(peak);
    tables[code] ??= this.table(WEIGHT_OF_CODE[code], "linear");
    return tables[code];
  }
}
