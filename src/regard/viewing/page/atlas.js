// All the sheets of a record, opened when asked for.

import { Reader, WEIGHT_OF_CODE, codeOfWeight, inflate } from "./codec.js";
import { Sheet } from "./sheet.js";

const REMEMBERED = 64;

export class Atlas {
  // `source.chunk(name)` answers with base64 text.
  constructor(about, source) {
    this.about = about;
    this.source = source;
    this.opened = new Map();
  }

  track(index) {
    return this.about.tracks[index];
  }

  tokens(axis) {
    return this.about.tokens[axis];
  }

  // The sheet of a track: one head from 0, or "mean" or "max" over heads; specials hidden, words merged.
  async sheet(index, { head, hideSpecial, words }) {
    const track = this.track(index);
    if (track.heads === 1) head = 0;
    if (track.kept === "blocks" || (!hideSpecial && !words)) {
      return this.remember(`${index}.${head}`, () => this.heads(index, head));
    }
    return this.remember(`${index}.${head}.${hideSpecial}.${words}`, async () => {
      if (words && head === "max") return overWeights(await this.all(index, { hideSpecial, words }), "max");
      const sheet = await this.sheet(index, { head });
      return this.changed(sheet, track, { hideSpecial, words });
    });
  }

  // Every head. Words come before the maximum over heads: the maximum of sums is at most 1, and a sum
  // of maxima may be more. (The mean may be taken before or after.)
  all(index, options = {}) {
    const heads = Array.from({ length: this.track(index).heads }, (_, head) => head);
    return Promise.all(heads.map((head) => this.sheet(index, { ...options, head })));
  }

  changed(sheet, track, { hideSpecial, words }) {
    const [rows, columns] = [this.tokens(track.queries), this.tokens(track.keys)];
    let special = [rows.special, columns.special];
    if (words) {
      sheet = sheet.merge(rows.words, columns.words, rows.starts, columns.starts);
      special = [rows, columns].map((axis) => axis.starts.map((start) => axis.special[start]));
    }
    if (hideSpecial) {
      sheet = sheet.keep(...special.map(ordinary));
    }
    return sheet;
  }

  // The piece at which each row or column shown begins.
  places(axis, { hideSpecial, words }) {
    const { pieces, special, starts } = this.tokens(axis);
    const begin = words ? starts : pieces.map((_, i) => i);
    return hideSpecial ? ordinary(begin.map((start) => special[start])).map((i) => begin[i]) : begin;
  }

  async remember(name, make) {
    if (!this.opened.has(name)) this.opened.set(name, make());
    const sheet = this.opened.get(name);
    this.opened.delete(name);
    this.opened.set(name, sheet); // the newest last
    if (this.opened.size > REMEMBERED) this.opened.delete(this.opened.keys().next().value);
    return sheet;
  }

  async heads(index, head) {
    const track = this.track(index);
    if (typeof head === "number" || track.kept === "coded") return this.open(index, head);
    const sheets = await this.all(index);
    return track.kept === "exact" ? overWeights(sheets, head) : overBlocks(sheets, head);
  }

  async open(index, head) {
    const { kept, queries, keys, shape, blocks, cover, top } = this.track(index);
    const read = new Reader(await inflate(this.source.chunk(`${index}.${head}`)));
    const [rows, columns] = [this.tokens(queries).pieces, this.tokens(keys).pieces];
    if (kept === "exact") {
      return new Sheet({ rows, columns, kept, weights: read.take(Float32Array, shape[0] * shape[1]) });
    }
    const entropy = read.take(Float32Array, shape[0]);
    const received = read.take(Float32Array, shape[1]);
    const values = read.take(Float32Array, shape[0] * top);
    const places = read.take(shape[1] > 65535 ? Uint32Array : Uint16Array, shape[0] * top);
    const [[down, across], [tall, wide]] = [blocks, cover];
    const max = read.take(Uint8Array, down * across);
    const mean = kept === "coded" ? max : read.take(Uint8Array, down * across);
    const exact = { values, keys: places, count: top };
    const level = { max, mean, down, across, tall, wide };
    return new Sheet({ rows, columns, kept, level, top: exact, entropy, received });
  }
}

// The places that are not special; all of them where nothing else is there, as in a pooled text's reader.
function ordinary(marks) {
  const kept = marks.flatMap((mark, i) => (mark ? [] : [i]));
  return kept.length ? kept : marks.map((_, i) => i);
}

function overWeights(sheets, how) {
  const weights = combined(sheets.map((sheet) => sheet.weights), how);
  const { rows, columns } = sheets[0];
  const sheet = new Sheet({ rows, columns, kept: "exact", weights });
  sheet.about = sheets.some((each) => each.about);
  return sheet;
}

// Of blocks, the mean of means is exact and the mean of maxima bounds the maximum from above; the largest
// of each row are those that the heads hold, so their numbers are marked as approximate. What such a map's own
// entropy is, and what its keys received at most, the heads do not say: the mean of theirs is shown and called so.
function overBlocks(sheets, how) {
  const { rows, columns, levels, top } = sheets[0];
  const [max, mean] = [levels[0].max.slice(), levels[0].mean.slice()];
  for (let i = 0; i < max.length; i++) {
    let [peak, total] = [0, 0];
    for (const sheet of sheets) {
      const [high, each] = [WEIGHT_OF_CODE[sheet.levels[0].max[i]], WEIGHT_OF_CODE[sheet.levels[0].mean[i]]];
      peak = how === "max" ? Math.max(peak, high) : peak + high / sheets.length;
      total = how === "max" ? Math.max(total, each) : total + each / sheets.length;
    }
    max[i] = codeOfWeight(peak);
    mean[i] = codeOfWeight(total);
  }
  const entropy = combined(sheets.map((sheet) => sheet.entropy), "mean");
  const received = combined(sheets.map((sheet) => sheet.received), "mean");
  const joined = joinTops(sheets, how, rows.length, top.count);
  const sheet = new Sheet({ rows, columns, kept: "blocks", level: { ...levels[0], max, mean }, top: joined, entropy, received });
  sheet.over = how;
  return sheet;
}

function joinTops(sheets, how, queries, count) {
  const values = new Float32Array(queries * count);
  const keys = new Uint32Array(queries * count);
  for (let query = 0; query < queries; query++) {
    const row = new Map();
    for (const sheet of sheets) {
      for (const { index, weight } of sheet.row(query, count)) {
        const before = row.get(index) ?? 0;
        row.set(index, how === "max" ? Math.max(before, weight) : before + weight / sheets.length);
      }
    }
    const best = [...row].sort((a, b) => b[1] - a[1]).slice(0, count);
    best.forEach(([key, weight], i) => {
      keys[query * count + i] = key;
      values[query * count + i] = weight;
    });
  }
  return { values, keys, count, about: how === "mean" };
}

function combined(arrays, how) {
  const result = new Float32Array(arrays[0].length);
  for (let i = 0; i < result.length; i++) {
    let value = 0;
    for (const array of arrays) value = how === "max" ? Math.max(value, array[i]) : value + array[i];
    result[i] = how === "max" ? value : value / arrays.length;
  }
  return result;
}
