// From weights to colours, on the scale of every other view (colors.py).

import { WEIGHT_OF_CODE, encodeWeight } from "./codec.js";

/** @import { Scale } from "./types" */

const LOG_DECADES = 4; // powers of ten below the largest weight that the log scale spans
const SMALLEST = 1e-30;

/** One palette, and what it makes of weights. */
export class ColorScale {
  /** @param {string} palette 256 colours of six hexadecimal digits each */
  constructor(palette) {
    this.colors = Array.from({ length: 256 }, (_, i) => `#${palette.slice(6 * i, 6 * i + 6)}`);
    /** The colours as ImageData holds them in memory, seen as 32-bit numbers. */
    this.pixels = Uint32Array.from(this.colors, (color) => {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
      return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    });
  }

  /**
   * A weight on the scale from 0 to 1, where `max` is 1. ("row" differs from "linear" only in its maximum.)
   * @param {number} weight
   * @param {number} max
   * @param {Scale} scale
   */
  normalize(weight, max, scale) {
    const share = weight / Math.max(max, SMALLEST);
    const level = scale === "log" ? 1 + Math.log10(Math.max(share, SMALLEST)) / LOG_DECADES : share;
    return Math.min(1, Math.max(0, level));
  }

  /**
   * Index of a weight's colour in the palette.
   * @param {number} weight
   * @param {number} max
   * @param {Scale} scale
   */
  index(weight, max, scale) {
    return Math.round(255 * this.normalize(weight, max, scale));
  }

  /**
   * The maximum of a text's scale: at least four times the uniform weight, so that attention spread evenly
   * over a text is pale everywhere.
   * @param {number} max the largest weight
   * @param {number} tokens
   */
  textMax(max, tokens) {
    return Math.max(max, Math.min(1, 4 / tokens));
  }

  /**
   * The colour of a weight.
   * @param {number} weight
   * @param {number} max
   * @param {Scale} scale
   */
  color(weight, max, scale) {
    return this.colors[this.index(weight, max, scale)];
  }

  /**
   * Black or white, whichever has more contrast with the colour of a weight (WCAG relative luminance).
   * @param {number} weight
   * @param {number} max
   * @param {Scale} scale
   */
  textColor(weight, max, scale) {
    const pixel = this.pixels[this.index(weight, max, scale)];
    const [red, green, blue] = [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255].map((byte) => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
  }

  /**
   * The pixel of each byte code, for drawing many cells.
   * @param {number} max
   * @param {Scale} scale
   */
  pixelOfCode(max, scale) {
    return Uint32Array.from(WEIGHT_OF_CODE, (weight) => this.pixels[this.index(weight, max, scale)]);
  }
}

/** Tables from byte codes to pixels for the rows of one picture, each made once. */
export class PixelTables {
  /**
   * @param {ColorScale} colors
   * @param {Scale} scale
   * @param {number} max of the whole matrix
   */
  constructor(colors, scale, max) {
    this.colors = colors;
    this.scale = scale;
    this.max = max;
    /** @type {Uint32Array | null} */
    this.ofMatrix = null;
    /** @type {Map<number, Uint32Array>} */
    this.ofRowMax = new Map(); // by its code: rows whose maxima have one code share a table
  }

  /**
   * The table for a row whose largest weight is `rowMax`.
   * @param {() => number} rowMax
   */
  forRow(rowMax) {
    if (this.scale !== "row") return (this.ofMatrix ??= this.colors.pixelOfCode(this.max, this.scale));
    const code = encodeWeight(rowMax());
    const table = this.ofRowMax.get(code) ?? this.colors.pixelOfCode(WEIGHT_OF_CODE[code], "linear");
    this.ofRowMax.set(code, table);
    return table;
  }
}
