// Types that more than one module of the web app uses. Those of JSON are the models of schemas.py.

import type { Explanation } from "../../viewing/page/types";

export type Task = "translation" | "summarization" | "classification" | "language";
/** What a model can be told to do: a path of the API. */
export type Verb = "translate" | "summarize" | "classify" | "generate" | "fill";
/** The decoder step that gives a word its row of cross-attention: where it is the output, or the input; or the model's own. */
export type ReadingStep = "own" | "output" | "input";

// Answers

/** A word and its characters in the text; a special token has none. */
export interface Word {
  text: string;
  start: number;
  end: number;
  special: boolean;
}

export interface Side {
  text: string;
  words: Word[];
}

/** Of /translate and /summarize. */
export interface WriteAnswer {
  model: string;
  source: Side;
  answer: Side;
  score: number;
  /** A row per word of the answer, a column per source word. */
  attention: number[][];
  reading: string;
  alternatives: { text: string; score: number }[];
}

export interface Probability {
  label: string;
  probability: number;
}

/** Of /classify. */
export interface ClassifyAnswer {
  model: string;
  source: Side;
  label: string;
  labels: string[];
  probabilities: Probability[];
  /** Of each word, the mean over heads, and over the members of an ensemble. */
  attention: number[];
  heads: { name: string; attention: number[] }[];
  explanation: Omit<Explanation, "words" | "direction"> | null;
  editable: boolean;
}

/** Of /fill. */
export interface FillAnswer {
  model: string;
  source: Side;
  /** Of each `[MASK]`: its word, what may stand there, and its attention to each word. */
  masks: { word: number; choices: { word: string; probability: number }[]; attention: number[] }[];
  reading: string;
}

export type Answer = WriteAnswer | ClassifyAnswer | FillAnswer;

/** Of /alternatives. */
export interface NextWords {
  begin: string;
  choices: { word: string; probability: number; text: string }[];
}

export interface ModelInfo {
  name: string;
  task: Task;
  kind: string;
  parameters: number;
  /** The call that it answers. */
  verb: Verb;
  /** Whether it writes its answer word by word. */
  writes: boolean;
  /** Whether it reads two texts as a pair. */
  reads_pairs: boolean;
  /** Heads of each layer by map, of a pretrained model whose layers can be steered; empty for others. */
  heads: Record<string, number[]>;
  verdict: string;
}

/** Of /health. */
export interface Health {
  max_characters: number;
  models: ModelInfo[];
}

// What is on screen

/** How an answer is steered: what it begins with, source words hidden from attention, factors on attention to words, heads silenced. */
export interface Steering {
  begin: string;
  hide: number[];
  strength: Record<string, number>;
  silence: string[];
}

export interface PaneState extends Steering {
  model: string;
}

/** Everything the address holds. */
export interface State {
  text: string;
  /** The second text, for models that read two. */
  pair: string;
  reading: ReadingStep;
  panes: PaneState[];
}
