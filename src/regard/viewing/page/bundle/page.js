// src/regard/viewing/page/codec.js
var CODE_DECADES = 8;
var STEPS_PER_DECADE = 254 / CODE_DECADES;
var WEIGHT_OF_CODE = Float32Array.from({ length: 256 }, (_, code) => code === 0 ? 0 : 10 ** ((code - 255) / STEPS_PER_DECADE));
function codeOfWeight(weight) {
  if (weight < 10 ** -CODE_DECADES) return 0;
  return Math.min(255, Math.max(1, Math.round(255 + STEPS_PER_DECADE * Math.log10(weight))));
}
function codesOf(weights) {
  const codes = new Uint8Array(weights.length);
  for (let i = 0; i < codes.length; i++) codes[i] = codeOfWeight(weights[i]);
  return codes;
}
async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
var Reader = class {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  take(Type, length) {
    const width = Type.BYTES_PER_ELEMENT;
    const planes = this.bytes.subarray(this.at, this.at + length * width);
    this.at += length * width;
    if (width === 1) return planes;
    const joined = new Uint8Array(length * width);
    for (let byte = 0; byte < width; byte++) {
      for (let i = 0; i < length; i++) joined[i * width + byte] = planes[byte * length + i];
    }
    return new Type(joined.buffer);
  }
};

// src/regard/viewing/page/sheet.js
var Sheet = class _Sheet {
  constructor({ rows, columns, kept, weights, level, top, entropy, received }) {
    Object.assign(this, { rows, columns, kept, weights, top });
    this.queries = rows.length;
    this.keys = columns.length;
    if (kept === "exact") {
      const codes = codesOf(weights);
      level = { max: codes, mean: codes, down: this.queries, across: this.keys, tall: 1, wide: 1 };
      entropy ??= entropies(weights, this.queries, this.keys);
      received ??= columnSums(weights, this.queries, this.keys);
    }
    this.entropy = entropy;
    this.received = received;
    this.levels = [level];
    this.peak = Math.max(largest(weights ?? top.values), 1e-8);
  }
  // The planes with at least `pixels` of size per block, each level half the one before.
  level(pixelsPerToken) {
    let index = 0;
    for (; ; ) {
      const level = this.levels[index];
      if (pixelsPerToken * level.wide >= 1 || level.across < 2 || level.down < 2) return level;
      this.levels[++index] ??= halved(level);
    }
  }
  rowPeaks() {
    this.peaks ??= Float32Array.from({ length: this.queries }, (_, q) => this.row(q, 1)[0]?.weight ?? 0);
    return this.peaks;
  }
  // The code to draw for one cell; `plane` is "max" or "mean".
  code(query, key, plane) {
    const level = this.levels[0];
    return level[plane][Math.floor(query / level.tall) * level.across + Math.floor(key / level.wide)];
  }
  // A weight and whether the number is exact.
  weight(query, key) {
    if (this.weights) return { weight: this.weights[query * this.keys + key], exact: this.kept === "exact" && !this.about };
    const { values, keys, count } = this.top;
    for (let i = query * count; i < (query + 1) * count; i++) {
      if (keys[i] === key) return { weight: values[i], exact: !this.top.about };
    }
    return { weight: WEIGHT_OF_CODE[this.code(query, key, "mean")], exact: false };
  }
  // The largest weights of a row, descending: [{ index, weight, exact }].
  row(query, count) {
    if (this.weights) {
      const found2 = largestOf(this.weights.subarray(query * this.keys, (query + 1) * this.keys), count);
      return found2.map((item) => ({ ...item, exact: !this.about }));
    }
    const { values, keys, count: kept } = this.top;
    const found = [];
    for (let i = query * kept; i < query * kept + Math.min(count, kept); i++) {
      if (values[i] > 0) found.push({ index: keys[i], weight: values[i], exact: !this.top.about });
    }
    return found;
  }
  // The largest weights of a column. Where not every weight is held, those among the top of their rows.
  column(key, count) {
    if (this.kept === "blocks") return this.columnOfTops(key, count);
    const line = new Float32Array(this.queries);
    for (let query = 0; query < this.queries; query++) line[query] = this.weight(query, key).weight;
    return largestOf(line, count).map((item) => ({ ...item, exact: this.weight(item.index, key).exact }));
  }
  columnOfTops(key, count) {
    const { values, keys, count: kept } = this.top;
    const found = [];
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === key && values[i] > 0) {
        found.push({ index: Math.floor(i / kept), weight: values[i], exact: !this.top.about });
      }
    }
    return found.sort((a, b) => b.weight - a.weight).slice(0, count);
  }
  // Every weight of a row, as well as it is known.
  line(query) {
    if (this.weights) return this.weights.subarray(query * this.keys, (query + 1) * this.keys);
    const line = new Float32Array(this.keys);
    for (let key = 0; key < this.keys; key++) line[key] = WEIGHT_OF_CODE[this.code(query, key, "mean")];
    for (const { index, weight } of this.row(query, this.keys)) line[index] = weight;
    return line;
  }
  // All weights in one array; only for sheets that hold every cell.
  dense() {
    if (this.weights) return this.weights;
    const all = new Float32Array(this.queries * this.keys);
    for (let query = 0; query < this.queries; query++) all.set(this.line(query), query * this.keys);
    return all;
  }
  // Only some rows and columns.
  keep(rows, columns) {
    const all = this.dense();
    const weights = new Float32Array(rows.length * columns.length);
    rows.forEach((row, i) => columns.forEach((column, j) => {
      weights[i * columns.length + j] = all[row * this.keys + column];
    }));
    return this.derived(rows.map((i) => this.rows[i]), columns.map((i) => this.columns[i]), weights);
  }
  // Pieces to words, given where each word starts: mean over queries, sum over keys.
  merge(rows, columns, rowStarts, columnStarts) {
    const all = this.dense();
    const weights = new Float32Array(rows.length * columns.length);
    const rowOf = wordOf(rowStarts, this.queries);
    const columnOf = wordOf(columnStarts, this.keys);
    const sizes = rowStarts.map((start2, i) => (rowStarts[i + 1] ?? this.queries) - start2);
    for (let query = 0; query < this.queries; query++) {
      for (let key = 0; key < this.keys; key++) {
        weights[rowOf[query] * columns.length + columnOf[key]] += all[query * this.keys + key] / sizes[rowOf[query]];
      }
    }
    return this.derived(rows, columns, weights);
  }
  derived(rows, columns, weights) {
    const sheet = new _Sheet({ rows, columns, kept: "exact", weights });
    sheet.about = this.about || this.kept !== "exact";
    return sheet;
  }
};
function wordOf(starts, length) {
  const words = new Int32Array(length);
  starts.forEach((start2, word) => words.fill(word, start2, starts[word + 1] ?? length));
  return words;
}
function halved({ max, mean, down, across, tall, wide }) {
  const rows = Math.ceil(down / 2);
  const columns = Math.ceil(across / 2);
  const peaks = new Uint8Array(rows * columns);
  const means = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let peak = 0;
      let total = 0;
      let cells = 0;
      for (let i = 2 * row; i < Math.min(2 * row + 2, down); i++) {
        for (let j = 2 * column; j < Math.min(2 * column + 2, across); j++) {
          peak = Math.max(peak, max[i * across + j]);
          total += WEIGHT_OF_CODE[mean[i * across + j]];
          cells += 1;
        }
      }
      peaks[row * columns + column] = peak;
      means[row * columns + column] = codeOfWeight(total / cells);
    }
  }
  return { max: peaks, mean: means, down: rows, across: columns, tall: 2 * tall, wide: 2 * wide };
}
function largest(values) {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}
function largestOf(line, count) {
  const found = [];
  for (let index = 0; index < line.length; index++) {
    const weight = line[index];
    if (weight <= 0 || found.length === count && weight <= found[count - 1].weight) continue;
    let place = found.length;
    while (place > 0 && found[place - 1].weight < weight) place--;
    found.splice(place, 0, { index, weight });
    if (found.length > count) found.pop();
  }
  return found;
}
function entropies(weights, queries, keys) {
  const entropy = new Float32Array(queries);
  for (let i = 0; i < queries * keys; i++) {
    if (weights[i] > 0) entropy[Math.floor(i / keys)] -= weights[i] * Math.log(weights[i]);
  }
  return entropy;
}
function columnSums(weights, queries, keys) {
  const sums = new Float32Array(keys);
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) sums[key] += weights[query * keys + key];
  }
  return sums;
}

// src/regard/viewing/page/atlas.js
var REMEMBERED = 64;
var Atlas = class {
  // `source.chunk(name)` answers with base64 text.
  constructor(about, source2) {
    this.about = about;
    this.source = source2;
    this.opened = /* @__PURE__ */ new Map();
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
    if (track.kept === "blocks" || !hideSpecial && !words) {
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
      special = [rows, columns].map((axis) => axis.starts.map((start2) => axis.special[start2]));
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
    return hideSpecial ? ordinary(begin.map((start2) => special[start2])).map((i) => begin[i]) : begin;
  }
  async remember(name, make) {
    if (!this.opened.has(name)) this.opened.set(name, make());
    const sheet = this.opened.get(name);
    this.opened.delete(name);
    this.opened.set(name, sheet);
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
};
function ordinary(marks) {
  const kept = marks.flatMap((mark, i) => mark ? [] : [i]);
  return kept.length ? kept : marks.map((_, i) => i);
}
function overWeights(sheets, how) {
  const weights = combined(sheets.map((sheet2) => sheet2.weights), how);
  const { rows, columns } = sheets[0];
  const sheet = new Sheet({ rows, columns, kept: "exact", weights });
  sheet.about = sheets.some((each) => each.about);
  return sheet;
}
function overBlocks(sheets, how) {
  const { rows, columns, levels, top } = sheets[0];
  const [max, mean] = [levels[0].max.slice(), levels[0].mean.slice()];
  for (let i = 0; i < max.length; i++) {
    let [peak, total] = [0, 0];
    for (const sheet2 of sheets) {
      const [high, each] = [WEIGHT_OF_CODE[sheet2.levels[0].max[i]], WEIGHT_OF_CODE[sheet2.levels[0].mean[i]]];
      peak = how === "max" ? Math.max(peak, high) : peak + high / sheets.length;
      total = how === "max" ? Math.max(total, each) : total + each / sheets.length;
    }
    max[i] = codeOfWeight(peak);
    mean[i] = codeOfWeight(total);
  }
  const entropy = combined(sheets.map((sheet2) => sheet2.entropy), "mean");
  const received = combined(sheets.map((sheet2) => sheet2.received), "mean");
  const joined = joinTops(sheets, how, rows.length, top.count);
  const sheet = new Sheet({ rows, columns, kept: "blocks", level: { ...levels[0], max, mean }, top: joined, entropy, received });
  sheet.over = how;
  return sheet;
}
function joinTops(sheets, how, queries, count) {
  const values = new Float32Array(queries * count);
  const keys = new Uint32Array(queries * count);
  for (let query = 0; query < queries; query++) {
    const row = /* @__PURE__ */ new Map();
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

// src/regard/viewing/page/dom.js
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}
function token(text, attributes = {}) {
  return h("bdi", { class: "token", title: text.length > 24 ? text.slice(0, 400) : null, ...attributes }, short(text, 48));
}
var graphemes = new Intl.Segmenter(void 0, { granularity: "grapheme" });
function short(text, most) {
  if (text.length <= most) return text;
  const parts = [...graphemes.segment(text.slice(0, 8 * most))].slice(0, most).map((part) => part.segment);
  const cut = parts.join("").slice(0, 4 * most);
  return cut.length < text.length ? `${cut}…` : cut;
}
function number(weight, exact = true) {
  if (!exact) return `≈ ${weight === 0 ? "0" : weight < 1e-4 ? weight.toExponential(0) : Number(weight.toPrecision(2))}`;
  if (weight === 0) return "0";
  return weight < 1e-3 ? weight.toPrecision(3) : weight.toFixed(4);
}
function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

// src/regard/viewing/page/state.js
var SCALES = ["linear", "log", "row"];
var VIEWS = ["overview", "map", "links", "text"];
var THEMES = ["system", "light", "dark"];
function initial(about) {
  const single = about.tracks.length === 1 && about.tracks[0].heads === 1;
  const pooling = about.tracks[0].shape[0] === 1;
  return {
    track: 0,
    head: "mean",
    view: single ? pooling ? "text" : "map" : "overview",
    scale: "linear",
    pool: "max",
    hideSpecial: false,
    words: false,
    query: 0,
    key: null,
    find: "",
    theme: "system",
    x: null,
    y: null,
    zoom: null
  };
}
function toHash(state, about) {
  const usual = initial(about);
  const changed = Object.entries(state).filter(([name, value]) => value !== usual[name] && value !== null);
  return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
}
function fromHash(hash, about) {
  const state = initial(about);
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name, count) => {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isInteger(value) && value >= 0 && value < count) state[name] = value;
  };
  const one = (name, among) => {
    if (among.includes(given.get(name))) state[name] = given.get(name);
  };
  whole("track", about.tracks.length);
  const track = about.tracks[state.track];
  whole("head", track.heads);
  one("head", ["mean", "max"]);
  whole("query", track.shape[0]);
  whole("key", track.shape[1]);
  one("view", VIEWS);
  one("scale", SCALES);
  one("pool", ["max", "mean"]);
  one("theme", THEMES);
  for (const name of ["hideSpecial", "words"]) state[name] = given.get(name) === "true";
  for (const name of ["x", "y", "zoom"]) {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isFinite(value)) state[name] = value;
  }
  state.find = (given.get("find") ?? "").slice(0, 200);
  return state;
}

// src/regard/viewing/page/surface.js
var FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif';
var measuring = h("canvas").getContext("2d");
function widthOf(text, size = 12, weight = 400) {
  measuring.font = `${weight} ${size}px ${FONT}`;
  return measuring.measureText(text).width;
}
function fitted(text, width, size = 12, weight = 400) {
  if (widthOf(text, size, weight) <= width) return text;
  let [low, high] = [0, Math.min(text.length, 200)];
  while (low < high) {
    const middle = low + high + 1 >> 1;
    if (widthOf(`${text.slice(0, middle)}…`, size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low).replace(/[\ud800-\udbff\u200d]$/, "")}…`;
}
var CanvasSurface = class {
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
    this.pen.rotate(turn * Math.PI / 180);
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
};
var XML = "http://www.w3.org/2000/svg";
var SvgSurface = class {
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
      "image-rendering": "pixelated"
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
};

// src/regard/viewing/page/download.js
var WHOLE = 1 << 22;
function save(app, format) {
  const name = `${(app.about.title || "attention").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.${format}`;
  if (format === "csv") return give(new Blob(["\uFEFF", table(app.sheet)], { type: "text/csv" }), name);
  const { view, width, height } = app.picture();
  if (format === "svg") {
    const surface2 = new SvgSurface(width, height);
    surface2.rect(0, 0, width, height, { fill: app.ink.paper });
    view.draw(surface2);
    return give(new Blob([surface2.toString()], { type: "image/svg+xml" }), name);
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
  setTimeout(() => URL.revokeObjectURL(link.href), 6e4);
}
function table(sheet) {
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
  return `${lines.join("\r\n")}\r
`;
}
function quoted(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

// src/regard/viewing/page/controls.js
var NAMES = {
  overview: "Overview",
  map: "Map",
  links: "Links",
  text: "Text",
  linear: "linear",
  log: "logarithmic",
  row: "per row",
  system: "system",
  light: "light",
  dark: "dark",
  max: "largest",
  mean: "mean"
};
var Controls = class {
  constructor(app, views) {
    this.app = app;
    const { about } = app;
    this.tabs = views.map((view) => h("button", {
      role: "tab",
      id: `${app.id}-tab-${view}`,
      "aria-controls": `${app.id}-stage`,
      "data-view": view,
      onclick: () => app.set({ view }),
      onkeydown: (event) => this.turn(event)
    }, NAMES[view]));
    this.track = this.select("Layer", about.tracks.map((track, i) => [i, track.label]), (value) => ({ track: Number(value) }));
    this.head = this.select("Head", [], (value) => ({ head: /^\d+$/.test(value) ? Number(value) : value }));
    this.scale = this.select("Scale", SCALES.map((name) => [name, NAMES[name]]), (scale) => ({ scale }));
    this.pool = this.select("Blocks", ["max", "mean"].map((name) => [name, NAMES[name]]), (pool) => ({ pool }));
    this.theme = this.select("Theme", THEMES.map((name) => [name, NAMES[name]]), (theme) => ({ theme }));
    this.hideSpecial = this.check("Hide special tokens", "hideSpecial");
    this.words = this.check("Merge to words", "words");
    this.count = h("output", { class: "count" });
    this.find = h("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": "Find a token",
      placeholder: "Find a token",
      oninput: () => app.set({ find: this.find.value }),
      onkeydown: (event) => event.key === "Enter" && app.next(event.shiftKey ? -1 : 1)
    });
    this.element = h(
      "div",
      { class: "controls" },
      h("div", { class: "tabs", role: "tablist", "aria-label": "View" }, this.tabs),
      this.track.label,
      this.head.label,
      this.scale.label,
      this.pool.label,
      this.hideSpecial.label,
      this.words.label,
      h("span", { class: "find" }, this.find, this.count)
    );
    const formats = ["png", "svg", "csv"].map((format) => h("button", {
      onclick: () => save(app, format),
      "aria-label": `Download ${format.toUpperCase()}`
    }, format.toUpperCase()));
    this.corner = h(
      "div",
      { class: "corner" },
      this.theme.label,
      h("span", { role: "group", "aria-label": "Download" }, formats),
      app.address ? h("button", { onclick: () => app.copyLink() }, "Copy link") : null
    );
  }
  select(name, options, patch) {
    const id = `${this.app.id}-${name}`;
    const choices = options.map(([value, text]) => h("option", { value }, text));
    const box = h("select", { id, onchange: () => this.app.set(patch(box.value)) }, choices);
    return { box, label: h("span", { class: "choice" }, h("label", { for: id }, name), box) };
  }
  check(name, field) {
    const box = h("input", { type: "checkbox", onchange: () => this.app.set({ [field]: box.checked }) });
    return { box, label: h("label", { class: "check" }, box, h("span", {}, name)) };
  }
  // Arrow keys turn the tabs, as tabs do.
  turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.tabs[(this.tabs.indexOf(event.target) + step + this.tabs.length) % this.tabs.length];
    this.app.set({ view: next.dataset.view });
    next.focus();
  }
  render() {
    const { state, about, found } = this.app;
    const track = about.tracks[state.track];
    for (const tab of this.tabs) {
      const chosen = tab.dataset.view === state.view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.track.box.value = state.track;
    this.track.label.hidden = about.tracks.length === 1;
    this.heads(track);
    this.scale.box.value = state.scale;
    this.pool.box.value = state.pool;
    this.pool.label.hidden = state.view !== "map" || Math.max(...track.shape) <= 256;
    this.theme.box.value = state.theme;
    const axes = [track.queries, track.keys].map((axis) => about.tokens[axis]);
    this.option(this.hideSpecial, state.hideSpecial, track, axes.some((axis) => axis.special.includes(true)));
    this.option(this.words, state.words, track, axes.some((axis) => axis.words.length < axis.pieces.length));
    if (this.find.value !== state.find) this.find.value = state.find;
    const matches = found.rows.size + found.columns.size;
    this.count.textContent = state.find ? `${matches} found` : "";
  }
  heads(track) {
    const { box, label } = this.head;
    label.hidden = track.heads === 1;
    if (box.length !== track.heads + 2) {
      const heads = Array.from({ length: track.heads }, (_, i) => h("option", { value: i }, `head ${i + 1}`));
      box.replaceChildren(h("option", { value: "mean" }, "mean"), h("option", { value: "max" }, "largest"), ...heads);
    }
    box.value = this.app.state.head;
  }
  option({ box, label }, checked, track, useful) {
    label.hidden = !useful;
    box.checked = checked && track.kept !== "blocks";
    box.disabled = track.kept === "blocks";
    label.title = box.disabled ? "This map is too large to be held cell by cell, so its tokens cannot be changed here." : "";
  }
};

// src/regard/viewing/page/links.js
var LINE = 22;
var MOST = 5;
var FAINTEST = 0.02;
var LinksView = class {
  constructor(app) {
    this.app = app;
    this.offset = 0;
    this.hover = null;
  }
  layout(width, height) {
    const { sheet } = this.app;
    this.rows = Math.max(1, Math.floor((height - 34) / LINE));
    this.offset = Math.max(0, Math.min(this.offset, sheet.queries - this.rows));
    const travel = Math.max(1, sheet.queries - this.rows);
    const other = Math.max(0, sheet.keys - this.rows);
    this.opposite = Math.round(this.offset / travel * other);
    this.column = Math.min(220, Math.round(width * 0.3));
    this.right = Math.min(width - this.column, this.column + 460);
  }
  draw(surface) {
    const { sheet, state, ink } = this.app;
    this.layout(surface.width, surface.height);
    const style = { size: 11, weight: 600, color: ink.muted };
    surface.text("queries", this.column - 12, 14, { ...style, align: "right" });
    surface.text("keys", this.right + 12, 14, style);
    surface.clip(this.column, 28, this.right - this.column, surface.height - 28, () => this.arcs(surface));
    const active = this.hover ?? { side: "rows", index: state.query };
    const last = (start2, count) => Math.min(count, start2 + this.rows);
    for (let i = this.offset; i < last(this.offset, sheet.queries); i++) this.name(surface, "rows", i, active);
    for (let i = this.opposite; i < last(this.opposite, sheet.keys); i++) this.name(surface, "columns", i, active);
  }
  arcs(surface) {
    const { sheet, state } = this.app;
    const active = this.hover ?? { side: "rows", index: state.query };
    for (let query = this.offset; query < Math.min(sheet.queries, this.offset + this.rows); query++) {
      if (active.side === "rows" && active.index === query) continue;
      for (const { index, weight } of sheet.row(query, MOST)) {
        if (weight >= FAINTEST) this.arc(surface, query, index, weight, 0.22);
      }
    }
    const strong = active.side === "rows" ? sheet.row(active.index, 12).map((item) => [active.index, item.index, item.weight]) : sheet.column(active.index, 12).map((item) => [item.index, active.index, item.weight]);
    for (const [query, key, weight] of strong.reverse()) this.arc(surface, query, key, weight, 1);
  }
  arc(surface, query, key, weight, opacity) {
    const { shades, sheet, state } = this.app;
    const peak = state.scale === "row" ? sheet.rowPeaks()[query] : sheet.peak;
    const level = shades.level(weight, peak, state.scale === "row" ? "linear" : state.scale);
    const color = shades.colors[Math.round(255 * (0.25 + 0.75 * level))];
    const [from, to] = [this.at(query, this.offset), this.at(key, this.opposite)];
    surface.curve(this.column, from, this.right, to, { color, line: 0.6 + 6 * level, opacity });
  }
  at(index, offset) {
    return 34 + (index - offset + 0.5) * LINE;
  }
  name(surface, side, index, active) {
    const { sheet, state, found, ink, shades } = this.app;
    const queries = side === "rows";
    const here = active.side === side && active.index === index;
    const weight = this.weightFor(side, index, active);
    const y = this.at(index, queries ? this.offset : this.opposite);
    const fill = weight > 0 ? shades.color(weight, this.strongest(active), state.scale === "row" ? "linear" : state.scale) : null;
    const x = queries ? 0 : this.right + 6;
    const width = queries ? this.column - 6 : surface.width - this.right - 6;
    if (fill && !here) surface.rect(x, y - 9, width, 18, { fill, radius: 4 });
    if (here) surface.rect(x + 1, y - 9, width - 2, 18, { stroke: ink.cursor, line: 2, radius: 4 });
    const color = fill && !here ? shades.ink(weight, this.strongest(active), state.scale === "row" ? "linear" : state.scale) : found[side].has(index) ? ink.found : ink.text;
    const text = fitted(sheet[side][index], width - 14, 13, here ? 650 : 400);
    const style = { size: 13, weight: here ? 650 : 400, color, align: queries ? "right" : "left" };
    surface.text(text, queries ? this.column - 13 : this.right + 13, y, style);
  }
  // How much the active token gives to, or gets from, a token of the other side.
  weightFor(side, index, active) {
    if (active.side === side) return 0;
    const { weight } = side === "columns" ? this.app.sheet.weight(active.index, index) : this.app.sheet.weight(index, active.index);
    return weight >= 5e-3 ? weight : 0;
  }
  strongest(active) {
    const { sheet } = this.app;
    const [best] = active.side === "rows" ? sheet.row(active.index, 1) : sheet.column(active.index, 1);
    return best?.weight ?? 1;
  }
  hit(x, y) {
    const { sheet } = this.app;
    const row = Math.floor((y - 34) / LINE);
    if (row < 0) return null;
    if (x < this.column && row + this.offset < sheet.queries) return { side: "rows", index: row + this.offset };
    if (x > this.right && row + this.opposite < sheet.keys) return { side: "columns", index: row + this.opposite };
    return null;
  }
  scroll(lines) {
    this.offset = Math.round(this.offset + lines);
  }
  follow() {
    const { query } = this.app.state;
    if (query < this.offset) this.offset = query;
    if (query >= this.offset + this.rows) this.offset = query - this.rows + 1;
  }
};

// src/regard/viewing/page/map.js
var LARGEST = 40;
var LEGEND = 34;
var GUTTER = [44, 132];
var LABEL = 15;
var MapView = class {
  constructor(app) {
    this.app = app;
    this.buffer = h("canvas");
    this.fit = true;
    Object.assign(this, { x: 0, y: 0, scale: 1 });
  }
  // Where things are, in pixels.
  layout(width, height) {
    const { sheet } = this.app;
    const longest = (pieces) => {
      let most = 0;
      for (let i = 0; i < Math.min(pieces.length, 300); i++) most = Math.max(most, widthOf(pieces[i].slice(0, 40), 12, 650));
      return Math.min(GUTTER[1], Math.max(GUTTER[0], Math.ceil(most) + 14));
    };
    this.left = Math.min(longest(sheet.rows), Math.round(width * 0.32));
    this.top = longest(sheet.columns);
    this.wide = width - this.left - 8;
    this.tall = height - this.top - LEGEND;
    this.smallest = Math.min(LARGEST, this.wide / sheet.keys, this.tall / sheet.queries);
    if (this.fit) Object.assign(this, { x: 0, y: 0, scale: this.smallest });
    this.settle();
  }
  settle() {
    const { sheet } = this.app;
    this.scale = Math.min(LARGEST, Math.max(this.smallest, this.scale));
    this.x = Math.max(0, Math.min(this.x, sheet.keys - this.wide / this.scale));
    this.y = Math.max(0, Math.min(this.y, sheet.queries - this.tall / this.scale));
  }
  draw(surface) {
    const { sheet } = this.app;
    this.layout(surface.width, surface.height);
    const width = Math.min(this.wide, (sheet.keys - this.x) * this.scale);
    const height = Math.min(this.tall, (sheet.queries - this.y) * this.scale);
    surface.clip(this.left, this.top, width, height, () => {
      this.cells(surface);
      if (this.scale >= 12) this.grid(surface, width, height);
      if (this.scale >= 27) this.numbers(surface);
      this.cross(surface, width, height);
    });
    surface.rect(this.left - 0.5, this.top - 0.5, width + 1, height + 1, { stroke: this.app.ink.rule });
    this.labels(surface, "rows");
    this.labels(surface, "columns");
    this.legend(surface, this.top + height + 20);
  }
  // The cells in sight: token by token where a token has a pixel, block by block where it has not.
  cells(surface) {
    const { sheet } = this.app;
    const level = sheet.level(this.scale);
    const single = this.scale >= 1;
    const [down, across] = single ? [sheet.queries, sheet.keys] : [level.down, level.across];
    const [perRow, perColumn] = single ? [1, 1] : [level.tall, level.wide];
    const row = Math.floor(this.y / perRow);
    const column = Math.floor(this.x / perColumn);
    const rows = Math.min(down, Math.ceil((this.y + this.tall / this.scale) / perRow)) - row;
    const columns = Math.min(across, Math.ceil((this.x + this.wide / this.scale) / perColumn)) - column;
    const picture = single ? this.tokens(row, column, rows, columns) : this.blocks(level, row, column, rows, columns, perRow);
    this.buffer.width = columns;
    this.buffer.height = rows;
    this.buffer.getContext("2d").putImageData(picture, 0, 0);
    const [high, wide] = [perRow * this.scale, perColumn * this.scale];
    const place = [this.left + (column * perColumn - this.x) * this.scale, this.top + (row * perRow - this.y) * this.scale];
    surface.image(this.buffer, [0, 0, columns, rows], [...place, columns * wide, rows * high]);
  }
  tokens(row, column, rows, columns) {
    const { sheet } = this.app;
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const { across, tall, wide } = sheet.levels[0];
    const plane = sheet.levels[0][sheet.kept === "blocks" && this.scale >= 2 ? "mean" : this.app.state.pool];
    const blocks = Int32Array.from({ length: columns }, (_, i) => Math.floor((column + i) / wide));
    const tables = [];
    for (let i = 0; i < rows; i++) {
      const table2 = this.table(tables, row + i);
      const start2 = Math.floor((row + i) / tall) * across;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table2[plane[start2 + blocks[j]]];
      if (sheet.kept === "blocks") this.spikes(pixels, i * columns, row + i, column, columns);
    }
    return picture;
  }
  // Over block means, the largest weights of the row at their exact places.
  spikes(pixels, start2, query, column, columns) {
    const { app } = this;
    const { values, keys, count } = app.sheet.top;
    const peak = app.state.scale === "row" ? app.sheet.rowPeaks()[query] : app.sheet.peak;
    const scale = app.state.scale === "row" ? "linear" : app.state.scale;
    for (let i = query * count; i < (query + 1) * count; i++) {
      const place = keys[i] - column;
      if (place >= 0 && place < columns && values[i] > 0) {
        pixels[start2 + place] = app.shades.pixels[Math.round(255 * app.shades.level(values[i], peak, scale))];
      }
    }
  }
  blocks(level, row, column, rows, columns, perRow) {
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    const plane = level[this.app.state.pool];
    const tables = [];
    for (let i = 0; i < rows; i++) {
      const table2 = this.table(tables, (row + i) * perRow);
      const start2 = (row + i) * level.across + column;
      for (let j = 0; j < columns; j++) pixels[i * columns + j] = table2[plane[start2 + j]];
    }
    return picture;
  }
  table(tables, query) {
    const { sheet, shades, state } = this.app;
    if (state.scale === "row") return shades.tableOfRow(tables, sheet.rowPeaks()[query]);
    return tables.whole ??= shades.table(sheet.peak, state.scale);
  }
  grid(surface, width, height) {
    const color = this.app.ink.paper;
    for (let x = (Math.ceil(this.x) - this.x) * this.scale; x <= width; x += this.scale) {
      surface.rect(this.left + x - 0.5, this.top, 1, height, { fill: color });
    }
    for (let y = (Math.ceil(this.y) - this.y) * this.scale; y <= height; y += this.scale) {
      surface.rect(this.left, this.top + y - 0.5, width, 1, { fill: color });
    }
  }
  numbers(surface) {
    const { sheet, shades, state } = this.app;
    const [rows, columns] = this.sight();
    for (let query = rows[0]; query < rows[1]; query++) {
      const peak = state.scale === "row" ? sheet.rowPeaks()[query] : sheet.peak;
      const scale = state.scale === "row" ? "linear" : state.scale;
      for (let key = columns[0]; key < columns[1]; key++) {
        const { weight } = sheet.weight(query, key);
        if (weight < 5e-3) continue;
        const [x, y] = this.place(query + 0.5, key + 0.5);
        surface.text(`${Math.round(weight * 100)}`, x, y, { size: 11, color: shades.ink(weight, peak, scale), align: "center" });
      }
    }
  }
  cross(surface, width, height) {
    const { query, key } = this.app.state;
    const [x, y] = this.place(query, key);
    const size = Math.max(this.scale, 5);
    const shift = (size - this.scale) / 2;
    const { cursor } = this.app.ink;
    surface.rect(this.left, y + this.scale / 2 - 0.5, width, 1, { fill: `${cursor}55` });
    surface.rect(x + this.scale / 2 - 0.5, this.top, 1, height, { fill: `${cursor}55` });
    surface.rect(x - shift, y - shift, size, size, { stroke: cursor, line: 2, radius: 2 });
  }
  labels(surface, side) {
    const { sheet, state, found, ink } = this.app;
    const pieces = sheet[side];
    const cursor = side === "rows" ? state.query : state.key;
    const [first, last] = this.sight()[side === "rows" ? 0 : 1];
    const step = Math.max(1, Math.ceil(LABEL / this.scale));
    const places = /* @__PURE__ */ new Map();
    const at = (i) => (i + 0.5 - (side === "rows" ? this.y : this.x)) * this.scale;
    for (let i = Math.ceil(first / step) * step; i < last; i += step) places.set(i, at(i));
    for (const i of [cursor]) {
      if (i < first || i >= last) continue;
      for (const [j, other] of places) if (Math.abs(other - at(i)) < LABEL && j !== i) places.delete(j);
      places.set(i, at(i));
    }
    for (const [i, offset] of places) this.label(surface, side, pieces[i], offset, i === cursor, found[side].has(i));
    for (const i of found[side]) {
      if (i < first || i >= last) continue;
      if (side === "rows") surface.rect(this.left - 5, this.top + at(i) - 1.5, 4, 3, { fill: ink.found });
      else surface.rect(this.left + at(i) - 1.5, this.top - 5, 3, 4, { fill: ink.found });
    }
  }
  label(surface, side, piece, offset, active, found) {
    const { ink } = this.app;
    const style = { size: 12, weight: active || found ? 650 : 400, color: active ? ink.cursor : found ? ink.found : ink.text };
    const room = (side === "rows" ? this.left : this.top) - 12;
    const text = fitted(piece, room, style.size, style.weight);
    if (side === "rows") surface.text(text, this.left - 8, this.top + offset, { ...style, align: "right" });
    else surface.text(text, this.left + offset, this.top - 8, { ...style, turn: -90 });
  }
  legend(surface, y) {
    const { sheet, shades, state, ink } = this.app;
    const [x, width] = [this.left, 132];
    for (let i = 0; i < 66; i++) surface.rect(x + 2 * i, y - 4, 2.2, 8, { fill: shades.colors[Math.round(i * 255 / 65)] });
    const low = state.scale === "log" ? `≤ ${(sheet.peak / 1e4).toPrecision(2)}` : "0";
    const high = state.scale === "row" ? "largest of its row" : sheet.peak.toPrecision(3);
    surface.text(low, x - 6, y, { size: 11, color: ink.muted, align: "right" });
    surface.text(high, x + width + 6, y, { size: 11, color: ink.muted });
    const pooled = this.scale < 1 || sheet.kept === "blocks" && this.scale < 2;
    const how = pooled ? `${state.pool === "max" ? "largest" : "mean"} of each block` : sheet.kept === "blocks" ? "block means, largest of each row exact" : "";
    if (how && width + 260 < surface.width - x) surface.text(how, surface.width - 8, y, { size: 11, color: ink.muted, align: "right" });
  }
  // [first, last) rows and columns on screen.
  sight() {
    const { sheet } = this.app;
    return [
      [Math.floor(this.y), Math.min(sheet.queries, Math.ceil(this.y + this.tall / this.scale))],
      [Math.floor(this.x), Math.min(sheet.keys, Math.ceil(this.x + this.wide / this.scale))]
    ];
  }
  place(query, key) {
    return [this.left + (key - this.x) * this.scale, this.top + (query - this.y) * this.scale];
  }
  // The cell under a point, if any.
  hit(x, y) {
    const { sheet } = this.app;
    const key = Math.floor(this.x + (x - this.left) / this.scale);
    const query = Math.floor(this.y + (y - this.top) / this.scale);
    const inside = x >= 0 && y >= 0 && query < sheet.queries && key < sheet.keys;
    if (!inside || x < this.left && y < this.top) return null;
    return { query: y < this.top ? this.app.state.query : Math.max(0, query), key: x < this.left ? this.app.state.key : Math.max(0, key) };
  }
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.fit = false;
    this.settle();
  }
  // Zoom so that the token under the point stays under it.
  zoom(factor, x = this.left + this.wide / 2, y = this.top + this.tall / 2) {
    const scale = Math.min(LARGEST, Math.max(this.smallest, this.scale * factor));
    const [dx, dy] = [Math.max(0, x - this.left), Math.max(0, y - this.top)];
    this.x += dx / this.scale - dx / scale;
    this.y += dy / this.scale - dy / scale;
    this.scale = scale;
    this.fit = scale === this.smallest;
    this.settle();
  }
  // Keep the cursor in sight.
  follow() {
    const { query, key } = this.app.state;
    const [rows, columns] = [this.tall / this.scale, this.wide / this.scale];
    if (query < this.y) this.y = query;
    if (query + 1 > this.y + rows) this.y = query + 1 - rows;
    if (key < this.x) this.x = key;
    if (key + 1 > this.x + columns) this.x = key + 1 - columns;
    this.settle();
  }
};

// src/regard/viewing/page/overview.js
var Overview = class {
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
      ...Array.from({ length: this.most }, (_, head) => head < track.heads ? this.cell(track, row, head) : h("span"))
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
      class: "thumb",
      "aria-label": label,
      title: label,
      "data-row": row,
      "data-head": head,
      tabindex: row === 0 && head === 0 ? "0" : "-1",
      onclick: () => this.app.set({ track: row, head, view: track.shape[0] === 1 ? "text" : "map" }, { focus: true })
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
    const table2 = shades.table(peak, state.scale === "row" ? "linear" : state.scale);
    const picture = new ImageData(this.side, this.side);
    new Uint32Array(picture.data.buffer).set(Uint32Array.from(codes, (code) => table2[code]));
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
};

// src/regard/viewing/page/readout.js
var LISTED = 10;
var MEAN = ", the mean of the heads’";
var Readout = class {
  constructor(app) {
    this.app = app;
    this.element = h("aside", { class: "readout", "aria-label": "Numbers" });
  }
  render() {
    const { sheet, state } = this.app;
    const { query, key } = state;
    const { weight, exact } = sheet.weight(query, key);
    const row = sheet.row(query, LISTED);
    const column = sheet.column(key, LISTED);
    const parts = [
      h(
        "section",
        { class: "cell" },
        h("p", { class: "pair" }, token(sheet.rows[query]), h("span", { class: "to", "aria-label": "to" }, "→"), token(sheet.columns[key])),
        h("p", { class: "weight" }, number(weight, exact)),
        h("p", { class: "fact" }, `query ${query + 1} of ${sheet.queries}, key ${key + 1} of ${sheet.keys}`)
      ),
      this.list("looks at", sheet.rows[query], row, sheet.columns, (index) => ({ key: index }), `entropy ${sheet.about ? "≈ " : ""}${sheet.entropy[query].toFixed(2)} nats${sheet.over ? MEAN : ""}`)
    ];
    if (sheet.queries > 1) {
      const sum = sheet.over === "max" ? MEAN : ", exact";
      const received = `received ${number(sheet.received[key], !sheet.about)} in all${sheet.kept === "blocks" ? `${sum}; listed: among the top of their rows` : ""}`;
      parts.push(this.list("is looked at by", sheet.columns[key], column, sheet.rows, (index) => ({ query: index }), received));
    }
    this.element.replaceChildren(...parts);
  }
  list(verb, piece, items, pieces, patch, fact) {
    const most = items[0]?.weight ?? 1;
    const lines = items.map(({ index, weight, exact }) => {
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      bar.style.inlineSize = `${100 * weight / most}%`;
      return h("li", {}, h(
        "button",
        { onclick: () => this.app.set(patch(index), { reveal: true }) },
        bar,
        token(pieces[index]),
        h("span", { class: "value" }, number(weight, exact))
      ));
    });
    return h("section", {}, h("h2", {}, token(piece), ` ${verb}`), h("ol", {}, lines), h("p", { class: "fact" }, fact));
  }
  // One sentence for a screen reader.
  sentence() {
    const { sheet, state } = this.app;
    const { weight, exact } = sheet.weight(state.query, state.key);
    const rank = sheet.row(state.query, 32).findIndex((item) => item.index === state.key) + 1;
    const [from, to] = [short(sheet.rows[state.query], 60), short(sheet.columns[state.key], 60)];
    const said = number(weight, exact).replace("≈", "about");
    const ranked = rank ? `, rank ${rank} in its row` : "";
    const place = `Query ${state.query + 1} of ${sheet.queries}, key ${state.key + 1} of ${sheet.keys}`;
    return `${from} to ${to}: ${said}${ranked}. ${place}.`;
  }
};

// src/regard/viewing/page/shades.js
var SHOWN_DECADES = 4;
var Shades = class {
  // `hex` is 256 colours as one string of six digits each.
  constructor(hex) {
    this.colors = Array.from({ length: 256 }, (_, i) => `#${hex.slice(6 * i, 6 * i + 6)}`);
    this.pixels = Uint32Array.from(this.colors, (color) => {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
      return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
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
    const [red, green, blue] = [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255].map((byte) => {
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
};

// src/regard/viewing/page/text.js
var MOST2 = 3e3;
var PAD = 5;
var TextView = class {
  constructor(app) {
    this.app = app;
    this.queries = h("p", { class: "running", role: "listbox", tabindex: "0", "aria-label": "Queries" });
    this.keys = h("p", { class: "running shaded", role: "listbox", tabindex: "0", "aria-label": "Keys" });
    this.asked = h("section", {}, h("h2", {}, "Queries"), this.queries);
    this.element = h("div", { class: "texts", hidden: true }, this.asked, h("section", {}, h("h2", {}, "Keys"), this.keys));
    for (const [list, field] of [[this.queries, "query"], [this.keys, "key"]]) {
      list.id = `${app.id}-${field}`;
      list.addEventListener("click", (event) => this.choose(event.target, field));
      list.addEventListener("keydown", (event) => this.move(event, field));
    }
  }
  choose(target, field) {
    const item = target.closest("[data-index]");
    if (item) this.go(field, Number(item.dataset.index));
  }
  move(event, field) {
    const right = event.currentTarget.dir === "rtl" ? -1 : 1;
    const step = { ArrowRight: right, ArrowDown: 1, ArrowLeft: -right, ArrowUp: -1 }[event.key];
    const count = this.app.sheet[field === "query" ? "queries" : "keys"];
    const ends = { Home: 0, End: count - 1 }[event.key];
    if (step === void 0 && ends === void 0) return;
    event.preventDefault();
    this.go(field, Math.max(0, Math.min(count - 1, ends ?? this.app.state[field] + step)));
  }
  go(field, index) {
    this.app.set(field === "query" ? this.app.turned(index) : { key: index });
  }
  render() {
    const { sheet, state, found } = this.app;
    [this.queries.dir, this.keys.dir] = this.directions();
    this.asked.hidden = sheet.queries === 1;
    const line = sheet.line(state.query);
    const [peak, scale] = this.scale();
    this.fill(this.queries, sheet.rows, state.query, found.rows, () => null);
    const center = sheet.row(state.query, 1)[0]?.index ?? 0;
    this.fill(this.keys, sheet.columns, state.key, found.columns, (i) => this.shade(line[i], peak, scale), center);
  }
  // Each token is fenced, so that neither text would turn by itself.
  directions() {
    const { about, state } = this.app;
    const { queries, keys } = about.tracks[state.track];
    return [queries, keys].map((axis) => about.tokens[axis].direction);
  }
  scale() {
    const { sheet, state, shades } = this.app;
    const own = state.scale === "row" || sheet.queries === 1;
    const peak = own ? shades.standout(sheet.row(state.query, 1)[0]?.weight ?? 0, sheet.keys) : sheet.peak;
    return [peak, state.scale === "row" ? "linear" : state.scale];
  }
  shade(weight, peak, scale) {
    const { shades } = this.app;
    return { background: shades.color(weight, peak, scale), color: shades.ink(weight, peak, scale), weight };
  }
  // A window of the tokens, around the one that matters, since a page of 32k elements would not move.
  fill(list, pieces, active, found, shade, center = active) {
    const start2 = Math.max(0, Math.min(center - MOST2 / 2, pieces.length - MOST2));
    const end = Math.min(pieces.length, start2 + MOST2);
    const items = start2 > 0 ? [h("bdi", { class: "elided" }, `… ${start2} tokens before`)] : [];
    for (let i = start2; i < end; i++) {
      const look = shade(i);
      const item = h("bdi", { role: "option", id: `${list.id}-${i}`, "data-index": i, "aria-selected": String(i === active), class: found.has(i) ? "token found" : "token" }, short(pieces[i], 60));
      if (look) {
        item.style.background = look.background;
        item.style.color = look.color;
        item.title = number(look.weight);
      }
      items.push(item, " ");
    }
    if (end < pieces.length) items.push(h("bdi", { class: "elided" }, `… ${pieces.length - end} tokens after`));
    list.replaceChildren(...items);
    list.setAttribute("aria-activedescendant", `${list.id}-${active}`);
  }
  // The keys as a picture, for the download.
  draw(surface) {
    const { sheet, state, ink } = this.app;
    const line = sheet.line(state.query);
    const [peak, scale] = this.scale();
    surface.text(`${sheet.rows[state.query].slice(0, 80)} looks at`, 8, 16, { size: 13, weight: 650, color: ink.text });
    const [, direction] = this.directions();
    let [x, y] = [8, 46];
    for (let i = 0; i < Math.min(line.length, MOST2) && y < surface.height; i++) {
      const text = fitted(sheet.columns[i], surface.width - 40, 15);
      const width = widthOf(text, 15) + 2 * PAD;
      if (x + width > surface.width - 8) [x, y] = [8, y + 28];
      const left = direction === "rtl" ? surface.width - x - width : x;
      surface.rect(left, y - 11, width, 22, { fill: this.shade(line[i], peak, scale).background, radius: 4 });
      surface.text(text, left + PAD, y, { size: 15, color: this.shade(line[i], peak, scale).color });
      x += width + 4;
    }
  }
};

// src/regard/viewing/page/pointer.js
var STILL = 5;
var Pointer = class {
  constructor(app) {
    this.app = app;
    this.down = /* @__PURE__ */ new Map();
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
    if (app.hint.hidden) return void 0;
    const { weight, exact } = app.sheet.weight(hit.query, hit.key);
    const [from, to] = [app.sheet.rows[hit.query], app.sheet.columns[hit.key]].map((piece) => short(piece, 30));
    app.hint.textContent = `⁨${from}⁩ → ⁨${to}⁩  ${number(weight, exact)}`;
    const flip = x > app.canvas.clientWidth - 240;
    app.hint.style.translate = `${flip ? `calc(${x - 14}px - 100%)` : `${x + 14}px`} ${Math.max(0, y - 34)}px`;
    return void 0;
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
};

// src/regard/viewing/page/main.js
var HELP = {
  map: "Arrow keys move the cursor, with Shift by ten. Home and End go to the ends of the row, Page Up and Page Down to those of the column. T goes to the row's largest weight. Plus and minus zoom, 0 shows all.",
  links: "Up and Down choose a query, T its strongest key, Left and Right move between keys."
};
function unlikeAny() {
  return `regard-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
}
var App = class {
  constructor(root, about, source2, { address: address2 = null } = {}) {
    Object.assign(this, { root, about, source: source2, address: address2, id: unlikeAny() });
    this.atlas = new Atlas(about, source2);
    this.state = address2 ? fromHash(address2.hash, about) : initial(about);
    this.found = { rows: /* @__PURE__ */ new Set(), columns: /* @__PURE__ */ new Set() };
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
      h(
        "header",
        {},
        h("div", {}, h("h1", {}, about.title || "Attention"), h("p", { class: "facts" }, facts), notes.map((note) => h("p", { class: "facts" }, note))),
        this.controls.corner
      ),
      about.verdict ? h("p", { class: "verdict" }, h("strong", {}, "How far to trust it "), about.verdict) : "",
      this.controls.element,
      h("div", { class: "body" }, h("div", { class: "seen" }, this.stage, this.help), this.readout.element),
      this.live
    );
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
    const turn = this.turn = (this.turn ?? 0) + 1;
    const heads = this.about.tracks[state.track].heads;
    if (typeof state.head === "number" && state.head >= heads) state.head = "mean";
    const sheet = await this.atlas.sheet(state.track, state);
    if (turn !== this.turn) return;
    if (sheet !== this.sheet) this.turnTo(sheet);
    state.query = Math.max(0, Math.min(state.query, sheet.queries - 1));
    state.key ??= sheet.row(state.query, 1)[0]?.index ?? 0;
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
      return Math.max(0, atlas.places(axis, { ...state, ...patch }).findLastIndex((start2) => start2 <= piece));
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
      const places = wanted ? this.sheet[side].flatMap((piece, i) => piece.toLocaleLowerCase().includes(wanted) ? [i] : []) : [];
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
    const name = theme === "system" ? this.dark.matches ? "dark" : "light" : theme;
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
      ArrowLeft: { key: state.key - far },
      ArrowRight: { key: state.key + far },
      ArrowUp: this.turned(state.query - far),
      ArrowDown: this.turned(state.query + far),
      Home: { key: 0 },
      End: { key: sheet.keys - 1 },
      PageUp: { query: 0 },
      PageDown: { query: sheet.queries - 1 },
      t: { key: sheet.row(state.query, 1)[0]?.index ?? state.key }
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
};
async function start(root, about, source2, options) {
  const app = new App(root, about, source2, options);
  await app.open();
  return app;
}

// src/regard/viewing/page/page.js
var source = { chunk: (name) => document.getElementById(`chunk-${name}`).textContent };
var address = location.protocol === "about:" ? null : location;
start(document.getElementById("record"), JSON.parse(document.getElementById("about").textContent), source, { address });
