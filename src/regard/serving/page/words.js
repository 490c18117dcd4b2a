// A text as a list of words: each can be hovered, chosen, reached by keyboard and shaded by a weight.

import { h, truncate } from "../../viewing/page/dom.js";

/** @import { Child } from "../../viewing/page/types" */
/** @import { Side, Word } from "./types" */

// A text whose first letter is written from right to left. (`dir="auto"` does not look into isolated words.)
const RIGHT_TO_LEFT = /^\P{L}*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
const MAX_ACCENT = 46; // per cent of the accent colour behind the word with the largest weight: text stays readable
const RANKED = 5;
const END = "</s>"; // a pretrained model has marks of other names, too, which are shown as they are

export class WordList {
  /**
   * @param {Side} side
   * @param {object} options
   * @param {string} options.label
   * @param {(index: number | null) => void} options.onHover `null` when the pointer has left
   * @param {(index: number) => void} options.onChoose
   */
  constructor(side, { label, onHover, onChoose }) {
    this.side = side;
    this.onHover = onHover;
    this.onChoose = onChoose;
    this.buttons = side.words.map((word, index) => this.button(word, index));
    this.rightToLeft = isRightToLeft(side.text);
    this.element = h("div", {
      class: "words", dir: this.rightToLeft ? "rtl" : "ltr", role: "group", "aria-label": label,
      onkeydown: (event) => this.onKey(event), onpointerleave: () => onHover(null),
    });
    this.element.append(...spaced(side).map((part) => (typeof part === "string" ? part : this.buttons[part])));
    this.buttons[0]?.setAttribute("tabindex", "0");
  }

  /**
   * @param {Word} word
   * @param {number} index
   */
  button(word, index) {
    const name = nameOf(word);
    return h("button", {
      type: "button",
      class: word.special ? "word special" : "word",
      tabindex: "-1",
      "aria-pressed": "false",
      title: name.length > 40 ? name.slice(0, 400) : null,
      onpointerenter: (event) => { if (event.pointerType === "mouse") this.onHover(index); },
      onfocus: () => { this.setTabStop(index); this.onHover(index); },
      onclick: () => this.onChoose(index),
    }, h("bdi", {}, truncate(name, 60)));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const at = this.buttons.findIndex((button) => button === document.activeElement);
    const last = this.buttons.length - 1;
    const right = this.rightToLeft ? -1 : 1;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowRight: at + right, ArrowDown: at + 1, ArrowLeft: at - right, ArrowUp: at - 1, Home: 0, End: last,
    };
    if (at < 0 || !(event.key in targets)) return;
    event.preventDefault();
    this.buttons[Math.max(0, Math.min(last, targets[event.key]))].focus();
  }

  /**
   * Make one word the stop of the Tab key (a roving tabindex): the one that had the focus last.
   * @param {number} index
   */
  setTabStop(index) {
    this.buttons.forEach((button, i) => button.setAttribute("tabindex", i === index ? "0" : "-1"));
  }

  /**
   * Shade every word by its weight, or by its score: one below 0 speaks against a label, in another colour.
   * @param {(number | null)[] | null} weights none for `null`; a word without one is not shaded
   * @param {number} max what the darkest shade stands for, so that what is small everywhere stays pale
   */
  shade(weights, max) {
    this.buttons.forEach((button, i) => {
      const share = (weights?.[i] ?? 0) / max;
      button.classList.toggle("against", share < 0);
      button.style.setProperty("--share", `${(MAX_ACCENT * Math.abs(share)).toFixed(1)}%`);
    });
  }

  /**
   * Give a class to some words and take it from the others.
   * @param {string} name
   * @param {number[]} indices
   */
  mark(name, indices) {
    const marked = new Set(indices);
    this.buttons.forEach((button, i) => button.classList.toggle(name, marked.has(i)));
  }

  /**
   * Show one word as pressed, or none.
   * @param {number | null} index
   */
  press(index) {
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
  }
}

/**
 * Whether a text is written from right to left: as its first letter is.
 * @param {string} text
 */
export function isRightToLeft(text) {
  return RIGHT_TO_LEFT.test(text);
}

/**
 * The indices of words, with what is between them in the text. Offsets count code points, as Python does.
 * @param {Side} side
 * @returns {(string | number)[]}
 */
export function spaced({ text, words }) {
  const characters = [...text];
  /** @type {(string | number)[]} */
  const parts = [];
  let end = 0;
  words.forEach((word, index) => {
    if (word.start > end) parts.push(characters.slice(end, word.start).join(""));
    else if (word.special && index) parts.push(" ");
    parts.push(index);
    end = Math.max(end, word.end);
  });
  return parts;
}

/**
 * The names with the largest weights, descending, as a list with bars and numbers.
 * @param {[name: string, weight: number][]} pairs
 */
export function ranking(pairs) {
  const best = topPairs(pairs, RANKED).filter(([, weight]) => weight > 0);
  const max = fullShare(pairs.map(([, weight]) => weight));
  return h("ol", { class: "ranking" }, best.map(([name, weight]) => {
    const bar = h("span", { class: "bar" });
    bar.style.inlineSize = `${(100 * weight) / max}%`;
    return h("li", {}, bar, h("bdi", { class: "token" }, truncate(name, 40)), h("span", { class: "value" }, weight.toFixed(3)));
  }));
}

/**
 * What a full bar stands for: the largest weight, and at least four even shares, so that nearly equal weights
 * are short bars.
 * @param {number[]} weights
 */
export function fullShare(weights) {
  return Math.max(...weights, Math.min(1, 4 / weights.length));
}

/**
 * The pairs with the largest weights, descending.
 * @param {[name: string, weight: number][]} pairs
 * @param {number} count
 */
export function topPairs(pairs, count) {
  return [...pairs].sort((a, b) => b[1] - a[1]).slice(0, count);
}

/**
 * Text with `code` in it, as documentation has it, as nodes.
 * @param {string} text
 * @returns {Child[]}
 */
export function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/**
 * What a word is called on screen.
 * @param {Word} word
 */
export function nameOf(word) {
  return word.special && word.text === END ? "end of text" : word.text;
}
