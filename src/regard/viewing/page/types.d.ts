// Types that more than one module of the page uses.

import type { CodedMatrix, DenseMatrix } from "./matrix.js";

export type Theme = "light" | "dark";
export type ViewName = "attributions" | "overview" | "map" | "links" | "text";
export type Side = "rows" | "columns";
/** How weights become colours: relative to the largest of the map, on a log scale, or to the largest of each row. */
export type Scale = "linear" | "log" | "row";
export type Reduction = "mean" | "max";
/** One head, counted from 0, or a reduction over all heads. */
export type Head = number | Reduction;

// What `pack.py` writes

/** A record without its weights, as JSON. */
export interface Metadata {
  title: string;
  reading: string;
  notes: string[];
  verdict: string;
  tokens: Record<string, TokenAxis>;
  layers: LayerMap[];
  prediction: Prediction | null;
  explanation: Explanation | null;
  /** 256 colours for each theme, six hexadecimal digits each, as one string. */
  palettes: Record<Theme, string>;
  /** Colours of scores that speak against a label. */
  against: Record<Theme, string>;
  /** Pixels of each side of the overview's small maps. */
  thumbnail_size: number;
}

/** What a classifier answered: labels that apply, and every label with its probability, the likeliest first. */
export interface Prediction {
  labels: string[];
  probabilities: { label: string; probability: number }[];
}

/** How much each word counts for a label, by several methods; the first is in front. */
export interface Explanation {
  words: string[];
  direction: "ltr" | "rtl";
  label: string;
  probability: number;
  reason: string;
  attributions: Attribution[];
}

export interface Attribution {
  name: string;
  /** What the scores are. */
  about: string;
  /** Whether scores speak for (above 0) or against the label; else they are shares of 1. */
  signed: boolean;
  /** The score that a full bar stands for. */
  full: number;
  /** What a full bar means, in words. */
  scale: string;
  /** Of each word; `null` where it was not measured. */
  values: (number | null)[];
}

export interface TokenAxis {
  pieces: string[];
  special: boolean[];
  /** The piece at which each word begins. */
  word_starts: number[];
  words: string[];
  direction: "ltr" | "rtl";
}

/** How the weights of a map are stored: each as float32, each as one byte, or as blocks of one byte. */
export type Storage = "float32" | "quantized" | "blocks";

/** The attention of one layer: `heads` matrices over one pair of token axes. */
export interface LayerMap {
  label: string;
  /** Names of token axes. */
  queries: string;
  keys: string;
  heads: number;
  /** Networks of an ensemble, whose heads follow each other; 1 for a single network. */
  members: number;
  /** What each head is called: "head 1", or "member 1" where the networks of an ensemble are shown. */
  head_names: string[];
  /** Queries and keys. */
  shape: [number, number];
  storage: Storage;
  /** Rows and columns of blocks; the shape itself unless `storage` is "blocks". */
  grid: [number, number];
  /** Queries and keys in each block but the last. */
  block_size: [number, number];
  /** How many of the largest weights of each row are stored exactly, unless all are. */
  top_k: number;
  /** In nats, of each head. */
  mean_entropy: number[];
}

/** Where the weights come from: base64 text of deflated arrays, by name. */
export interface Source {
  chunk(name: string): string;
}

// Matrices

export type Matrix = DenseMatrix | CodedMatrix;

export interface TokenOptions {
  hideSpecial: boolean;
  /** Whether pieces are merged to words. */
  words: boolean;
}

/** One resolution of a matrix: byte codes of the maximum and the mean of each block. */
export interface Level {
  max: Uint8Array;
  mean: Uint8Array;
  rows: number;
  columns: number;
  /** Queries and keys in each block but the last. */
  blockRows: number;
  blockColumns: number;
}

/** The `k` largest weights of each row, descending, row after row. */
export interface TopK {
  values: Float32Array;
  keys: Uint16Array | Uint32Array;
  k: number;
  /** Whether the values are estimates, as for a mean over heads that kept different keys. */
  approximate: boolean;
}

export interface Weight {
  weight: number;
  exact: boolean;
}

/** A weight of a row or a column, and its index there. */
export interface IndexedWeight extends Weight {
  index: number;
}

// What is on screen

/** Everything the address of a view holds. */
export interface State {
  layer: number;
  head: Head;
  view: ViewName;
  scale: Scale;
  pool: Reduction;
  hideSpecial: boolean;
  words: boolean;
  query: number;
  /** `null` chooses the key with the largest weight. */
  key: number | null;
  find: string;
  theme: "system" | Theme;
  /** Origin and pixels per token of a zoomed map; `null` shows all of it. */
  x: number | null;
  y: number | null;
  zoom: number | null;
}

/** A token on one side of the links. */
export interface Endpoint {
  side: Side;
  index: number;
}

/** Colours of the theme that canvases draw with, named like the custom properties of page.css. */
export type ThemeColors = Record<"text" | "muted" | "border" | "background" | "cursor" | "found", string>;

// Drawing

export interface RectStyle {
  fill?: string | null;
  stroke?: string | null;
  line?: number;
  radius?: number;
}

export interface TextStyle {
  color: string;
  size?: number;
  weight?: number;
  align?: "left" | "center" | "right";
  /** Degrees, about the point the text hangs on. */
  turn?: number;
}

export interface CurveStyle {
  color: string;
  line: number;
  opacity?: number;
}

export type Box = [x: number, y: number, width: number, height: number];

/** Where views draw: a canvas on screen, or an SVG for the download. */
export interface Surface {
  width: number;
  height: number;
  rect(x: number, y: number, width: number, height: number, style: RectStyle): void;
  text(text: string, x: number, y: number, style: TextStyle): void;
  /** From (x1, y1) to (x2, y2), horizontal at both ends. */
  curve(x1: number, y1: number, x2: number, y2: number, style: CurveStyle): void;
  /** Part of a picture, unsmoothed: each cell stays a cell. */
  image(picture: HTMLCanvasElement, from: Box, to: Box): void;
  /** What `draw` draws, cut at a box. */
  clip(x: number, y: number, width: number, height: number, draw: () => void): void;
}

// Elements

type AttributeValue = string | number | boolean | null | undefined;
type Listeners = {
  [Name in keyof HTMLElementEventMap as `on${Name}`]?: (event: HTMLElementEventMap[Name]) => unknown;
};

/** Attributes and listeners of `h`; `true` is an attribute without a value, `false` and `null` leave it out. */
export interface Attributes extends Listeners {
  [name: `aria-${string}` | `data-${string}`]: AttributeValue;
  autocomplete?: AttributeValue;
  class?: AttributeValue;
  dir?: AttributeValue;
  disabled?: AttributeValue;
  download?: AttributeValue;
  for?: AttributeValue;
  height?: AttributeValue;
  hidden?: AttributeValue;
  href?: AttributeValue;
  id?: AttributeValue;
  max?: AttributeValue;
  maxlength?: AttributeValue;
  min?: AttributeValue;
  name?: AttributeValue;
  open?: AttributeValue;
  placeholder?: AttributeValue;
  rel?: AttributeValue;
  role?: AttributeValue;
  rows?: AttributeValue;
  scope?: AttributeValue;
  spellcheck?: AttributeValue;
  step?: AttributeValue;
  tabindex?: AttributeValue;
  target?: AttributeValue;
  title?: AttributeValue;
  type?: AttributeValue;
  value?: AttributeValue;
  width?: AttributeValue;
}

export type Child = Node | string | null | undefined;

// What `grid.py` writes

/** The heads of a model, with examples to open. */
export interface GridData {
  title: string;
  facts: string[];
  legend: { label: string; sign: string; meaning: string }[];
  cells: GridCell[];
  /** Heading of the column of what figures are compared with. */
  beside: string;
  /** The records of each example, side by side. */
  examples: Metadata[][];
  /** Of the records of an example; an empty one is not shown. */
  captions: string[];
  /** 256 colours for each theme, six hexadecimal digits each, as one string. */
  palettes: Record<Theme, string>;
}

export interface GridCell {
  site: string;
  /** Counted from 1. */
  layer: number;
  /** Counted from 1. */
  head: number;
  /** The head in words. */
  name: string;
  label: string;
  sign: string;
  /** Shade of the cell, 0 to 1. */
  level: number;
  sure: boolean;
  summary: string;
  facts: GridFact[];
  example: number | null;
  /** Where the example shows it: for each of its records the index of a layer and of a head, from 0. */
  shown: ({ layer: number; head: number } | null)[];
}

export interface GridFact {
  name: string;
  value: string;
  interval: string;
  beside: string;
  /** Length of its bar, 0 to 1. */
  share: number | null;
}

/** What the page of steps begins with, and what its fields change. */
export interface StepsProblem {
  query: number[][];
  key: number[][];
  value: number[][];
  mask: boolean[][];
  queries: string[];
  keys: string[];
  score: "scaled dot" | "scaled dot, capped at 2" | "dot" | "cosine" | "additive";
  normalizer:
    | "softmax"
    | "softmax with a sink"
    | "sparsemax"
    | "entmax 1.25"
    | "entmax 1.5"
    | "sigmoid"
    | "hard";
}

export interface Steps {
  scores: number[][];
  masked: number[][];
  weights: number[][];
  weighted: number[][][];
  output: number[][];
}
