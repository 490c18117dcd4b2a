// A generated text: words on both sides, linked by attention, and ways to steer it elsewhere.

import { h, truncate } from "../../viewing/page/dom.js";
import { messageOf, post } from "./client.js";
import { WordList, nameOf, ranking, topPairs } from "./words.js";

/** @import { Pane } from "./pane.js" */
/** @import { NextWords, WriteAnswer } from "./types" */

/** @typedef {"source" | "answer"} SideName */
/** @typedef {{ side: SideName, index: number }} Pin a word of one side */

const SPOKEN = 2; // words that a screen reader is told

export class GenerationView {
  /**
   * @param {Pane} pane
   * @param {WriteAnswer} answer
   * @param {WriteAnswer | null} base the answer without steering
   */
  constructor(pane, answer, base) {
    this.pane = pane;
    this.answer = answer;
    /** @type {Pin | null} */
    this.pinned = null;
    this.max = Math.max(...answer.attention.map((row) => Math.max(...row)));
    const extractive = !pane.info.writes;
    this.source = this.wordList("source", "What it read");
    this.target = this.wordList("answer", extractive ? "What it picked" : "What it wrote");
    this.source.mark("hidden-word", pane.state.hide);
    this.detail = h("div", { class: "detail", hidden: true });
    const empty = h("p", { class: "fact" }, "No words: the model ended at once.");
    this.element = h("div", { class: "generation" },
      h("div", { class: "line" }, h("h3", {}, extractive ? "Picked" : "Answer"), answer.answer.words.length ? this.target.element : empty),
      h("div", { class: "line" }, h("h3", {}, "Read"), this.source.element),
      this.detail,
      this.comparison(pane.steered ? base : null),
      this.alternatives());
  }

  /**
   * @param {SideName} side
   * @param {string} label
   */
  wordList(side, label) {
    return new WordList(this.answer[side], {
      label,
      onHover: (index) => this.hover(index === null ? null : { side, index }),
      onChoose: (index) => this.choose({ side, index }),
    });
  }

  /**
   * The answer without steering.
   * @param {WriteAnswer | null} base
   */
  comparison(base) {
    if (!base) return null;
    const same = base.answer.text === this.answer.answer.text;
    return h("p", { class: "comparison" },
      same ? "The same answer as without the change." : ["Without the change: ", h("bdi", {}, base.answer.text)]);
  }

  /** The other hypotheses of the beam, each to go on from. */
  alternatives() {
    const { alternatives, answer } = this.answer;
    if (!alternatives.length) return null;
    return h("details", { class: "alternatives" },
      h("summary", {}, `${alternatives.length} other ${alternatives.length === 1 ? "answer" : "answers"} of the beam`),
      h("ol", {}, alternatives.map(({ text, score }) => h("li", {},
        h("button", {
          type: "button", class: "alternative", "aria-label": `Take: ${text.slice(0, 400)}`, onclick: () => this.pane.steer({ begin: text }),
        }, difference(answer.text, text), h("span", { class: "value" }, score.toFixed(2)))))));
  }

  /**
   * The weights between a word and each word of the other side.
   * @param {Pin} pin
   */
  weights({ side, index }) {
    const { attention } = this.answer;
    return side === "answer" ? attention[index] : attention.map((row) => row[index]);
  }

  /**
   * The names of the other side's words with their weights.
   * @param {Pin} pin
   * @returns {[name: string, weight: number][]}
   */
  namedWeights(pin) {
    const { words } = this.answer[pin.side === "answer" ? "source" : "answer"];
    return this.weights(pin).map((weight, i) => [nameOf(words[i]), weight]);
  }

  /** @param {Pin} pin */
  nameOf({ side, index }) {
    return nameOf(this.answer[side].words[index]);
  }

  /**
   * Shade the other side by a word's weights: the word that is hovered, else the one that is pinned.
   * @param {Pin | null} pin
   */
  hover(pin) {
    const shown = pin ?? this.pinned;
    for (const words of [this.source, this.target]) {
      words.shade(null, 1);
      words.mark("hovered", []);
    }
    if (!shown) return;
    const [own, other] = shown.side === "source" ? [this.source, this.target] : [this.target, this.source];
    own.mark("hovered", [shown.index]);
    other.shade(this.weights(shown), this.max);
    if (pin) this.pane.announce(this.sentence(pin));
  }

  /**
   * What a word attended to most, for a screen reader.
   * @param {Pin} pin
   */
  sentence(pin) {
    const best = topPairs(this.namedWeights(pin), SPOKEN).map(([name, weight]) => `${name} ${weight.toFixed(2)}`);
    const verb = pin.side === "answer" ? "looked most at" : "was looked at most by";
    return `${this.nameOf(pin)} ${verb} ${best.join(", ")}`;
  }

  /**
   * Pin a word and open its detail, or close it again.
   * @param {Pin} pin
   */
  choose(pin) {
    const again = this.pinned?.side === pin.side && this.pinned.index === pin.index;
    this.pinned = again ? null : pin;
    this.source.press(!again && pin.side === "source" ? pin.index : null);
    this.target.press(!again && pin.side === "answer" ? pin.index : null);
    this.hover(this.pinned);
    this.detail.hidden = again;
    if (!again) this.detail.replaceChildren(...this.describe(pin));
  }

  /**
   * Open the detail that was open in the answer before this one. Only of the source: the answer may have other words.
   * @param {GenerationView} before
   */
  reopen(before) {
    if (before.pinned?.side === "source") this.choose(before.pinned);
  }

  /** @param {Pin} pin */
  describe(pin) {
    const name = truncate(this.nameOf(pin), 60);
    const heading = pin.side === "answer" ? "looked at" : "was looked at by";
    const seen = h("section", {}, h("h3", {}, h("bdi", {}, name), ` ${heading}`), ranking(this.namedWeights(pin)));
    if (!this.pane.info.writes) return [seen];
    return [seen, pin.side === "answer" ? this.nextWordEditor(pin.index) : this.hideEditor(pin.index)];
  }

  /**
   * A button that hides a source word from attention, or shows it again.
   * @param {number} index
   */
  hideEditor(index) {
    const { hide } = this.pane.state;
    const hidden = hide.includes(index);
    const changed = hidden ? hide.filter((i) => i !== index) : [...hide, index].sort((a, b) => a - b);
    return h("section", {},
      h("h3", {}, "What if it had not looked there?"),
      h("p", { class: "fact" }, "The word is still read; only attention to it is knocked out."),
      h("button", { type: "button", class: "action", "data-control": "knock", onclick: () => this.pane.steer({ hide: changed }) },
        hidden ? "Let it look again" : "Knock out attention to it"));
  }

  /**
   * Other words for one of the answer: those the model finds likely, and a field for any.
   * @param {number} index
   */
  nextWordEditor(index) {
    const { text, words } = this.answer.answer;
    const begin = [...text].slice(0, words[index].start).join("").trim();
    const list = h("ol", { class: "next-words", "aria-busy": "true" }, h("li", { class: "fact" }, "asking…"));
    const field = h("input", { name: "word", maxlength: "200", autocomplete: "off", "aria-label": "Another word" });
    const form = h("form", { class: "editor", onsubmit: (event) => {
      event.preventDefault();
      if (field.value.trim()) this.pane.steer({ begin: `${begin} ${field.value}`.trim() });
    } }, field, h("button", { type: "submit", class: "action" }, "Go on from there"));
    this.fillNextWords(list, begin, words[index].text);
    return h("section", {}, h("h3", {}, "Say instead"), list, form);
  }

  /**
   * Ask the server what the answer could go on with.
   * @param {HTMLElement} list
   * @param {string} begin
   * @param {string} current the word that the answer goes on with
   */
  async fillNextWords(list, begin, current) {
    const { model, hide } = this.pane.state;
    try {
      const { choices } = /** @type {NextWords} */ (await post("/alternatives", { model, text: this.pane.text, begin, hide }));
      list.replaceChildren(...choices.map(({ word, probability, text }) => h("li", {}, h("button", {
        type: "button", class: "next-word", title: text.slice(0, 400), disabled: word === current,
        onclick: () => this.pane.steer({ begin: upTo(text, begin, word) }),
      },
      h("bdi", { class: "token" }, truncate(word, 40)),
      h("span", { class: "value" }, word === current ? "said, " : "", probability.toFixed(3))))));
      if (!choices.length) list.replaceChildren(h("li", { class: "fact" }, "nothing else is likely here"));
    } catch (error) {
      list.replaceChildren(h("li", { class: "fact" }, messageOf(error)));
    }
    list.removeAttribute("aria-busy");
  }
}

/**
 * A text up to the end of the word after its beginning. The model decides whether a space is between them.
 * @param {string} text
 * @param {string} begin
 * @param {string} word
 */
export function upTo(text, begin, word) {
  return text.slice(0, text.indexOf(word, begin.length) + word.length);
}

/**
 * How many words two texts have in common at their beginning.
 * @param {string[]} one
 * @param {string[]} other
 */
export function commonPrefix(one, other) {
  let count = 0;
  while (count < other.length && one[count] === other[count]) count++;
  return count;
}

/**
 * An alternative, with the beginning that it shares with the answer muted.
 * @param {string} answer
 * @param {string} text
 */
function difference(answer, text) {
  const words = text.split(" ");
  const same = commonPrefix(answer.split(" "), words);
  return h("bdi", {}, h("span", { class: "fact" }, words.slice(0, same).join(" ")),
    same && same < words.length ? " " : "", words.slice(same).join(" "));
}
