// A label: how likely each is, how much attention each word got, and what if it had got another share.

import { h, truncate } from "../../viewing/page/dom.js";
import { legend, methodName, ranking, scoreTable } from "../../viewing/page/scores.js";
import { WordList, fullShare, nameOf, withCode } from "./words.js";

/** @import { Pane } from "./pane.js" */
/** @import { ClassifyAnswer } from "./types" */

const SHOWN_LABELS = 8;
const SHOWN_WORDS = 12; // with their scores
const MAX_STRENGTH = 4; // of the slider
const STEP = 0.25;

export class ClassificationView {
  /**
   * @param {Pane} pane
   * @param {ClassifyAnswer} answer
   * @param {ClassifyAnswer | null} base the answer without steering
   */
  constructor(pane, answer, base) {
    this.pane = pane;
    this.answer = answer;
    this.base = pane.steered ? base : null; // to compare with
    /** @type {number | null} */
    this.pinned = null;
    this.method = 0; // of the explanation, the one that shades the text
    this.words = new WordList(answer.source, {
      label: "What it read, shaded by how much each word counts",
      onHover: (index) => this.hover(index),
      onChoose: (index) => this.choose(index),
    });
    const { strength } = pane.state;
    this.words.mark("hidden-word", Object.keys(strength).filter((i) => strength[i] === 0).map(Number));
    this.words.mark("edited-word", Object.keys(strength).filter((i) => strength[i] > 0).map(Number));
    this.detail = h("div", { class: "detail", hidden: true });
    this.element = h("div", { class: "classification" },
      h("div", { class: "line" }, h("h3", {}, "Answer"), this.probabilities()),
      h("div", { class: "line" }, h("h3", {}, "Read"), this.words.element),
      this.detail,
      this.scores = h("div", { class: "line explanation" }),
      this.comparison());
    this.renderScores();
  }

  /** Shade the text by the method that is chosen, and list the words that count most by it. */
  renderScores() {
    const { explanation, attention, source } = this.answer;
    if (!explanation) {
      this.words.shade(attention, fullShare(attention));
      this.scores.replaceChildren(h("h3", {}, "Shaded"), h("p", { class: "fact" }, "by attention, the mean over heads"));
      return;
    }
    const method = explanation.attributions[this.method];
    this.words.shade(method.values, method.full);
    const named = { ...explanation, words: source.words.map(nameOf), direction: /** @type {const} */ ("ltr") };
    const order = ranking(method).slice(0, SHOWN_WORDS);
    const table = scoreTable(named, order, this.method, (index) => this.chooseMethod(index));
    this.scores.replaceChildren(h("h3", {}, "What counts"), h("div", {},
      h("p", { class: "fact" }, `${methodName(method)}: ${method.about}. ${legend(method, explanation.label)}`),
      table, h("p", { class: "fact" }, ...withCode(explanation.reason))));
  }

  /** @param {number} index */
  chooseMethod(index) {
    this.method = index;
    this.renderScores();
    const button = this.scores.querySelectorAll("thead button")[index];
    if (button instanceof HTMLElement) button.focus();
  }

  /** The likeliest labels with their probabilities, and by how much steering changed them. */
  probabilities() {
    const before = new Map(this.base?.probabilities.map(({ label, probability }) => [label, probability]));
    const chosen = new Set(this.answer.labels);
    return h("ol", { class: "labels" }, this.answer.probabilities.slice(0, SHOWN_LABELS).map(({ label, probability }) => {
      const bar = h("span", { class: "bar" });
      bar.style.inlineSize = `${100 * probability}%`;
      const moved = probability - (before.get(label) ?? probability);
      const change = before.size ? h("span", { class: "change" }, `${moved < 0 ? "−" : "+"}${Math.abs(100 * moved).toFixed(1)}`) : null;
      return h("li", { class: chosen.has(label) ? "chosen" : null }, bar, h("bdi", { class: "token" }, truncate(label, 40)),
        h("span", { class: "value" }, percent(probability), change));
    }));
  }

  /** The label without steering. */
  comparison() {
    if (!this.base) return null;
    const same = this.base.label === this.answer.label;
    return h("p", { class: "comparison" },
      same ? "The same label as without the change." : ["Without the change: ", h("bdi", {}, this.base.label)]);
  }

  /** @param {number | null} index */
  hover(index) {
    const shown = index ?? this.pinned;
    this.words.mark("hovered", shown === null ? [] : [shown]);
    if (index === null) return;
    this.pane.announce(`${nameOf(this.answer.source.words[index])} got ${percent(this.answer.attention[index])} of attention`);
  }

  /**
   * Pin a word and open its detail, or close it again.
   * @param {number} index
   */
  choose(index) {
    this.pinned = this.pinned === index ? null : index;
    this.words.press(this.pinned);
    this.hover(this.pinned);
    this.detail.hidden = this.pinned === null;
    if (this.pinned !== null) this.detail.replaceChildren(...this.describe(index));
  }

  /**
   * Open the detail that was open in the answer before this one.
   * @param {ClassificationView} before
   */
  reopen(before) {
    if (before.pinned !== null) this.choose(before.pinned);
  }

  /** @param {number} index */
  describe(index) {
    const { answer } = this;
    const members = answer.heads[0]?.name.startsWith("member");
    const received = h("section", {},
      h("h3", {}, h("bdi", {}, truncate(nameOf(answer.source.words[index]), 60)), " got"),
      h("p", { class: "share" }, percent(answer.attention[index])),
      h("p", { class: "fact" }, `of attention, the mean over ${members ? "members" : "heads"}`),
      this.byHead(index));
    return answer.editable ? [received, this.strengthEditor(index)] : [received];
  }

  /**
   * Attention of every head, or member of an ensemble, to a word.
   * @param {number} index
   */
  byHead(index) {
    const { heads } = this.answer;
    if (heads.length < 2) return null;
    return h("p", { class: "fact" }, heads.map(({ name, attention }) => `${name}: ${percent(attention[index])}`).join(" · "));
  }

  /** @param {number} index */
  strengthEditor(index) {
    const { strength } = this.pane.state;
    const current = strength[index] ?? 1;
    const shown = h("output", {}, `× ${current}`);
    /** @param {number} value */
    const change = (value) => {
      /** @type {Record<string, number>} */
      const changed = { ...strength, [index]: value };
      if (value === 1) delete changed[index];
      this.pane.steer({ strength: changed });
    };
    /** @type {HTMLInputElement} */
    const slider = h("input", {
      type: "range", min: "0", max: MAX_STRENGTH, step: STEP, value: String(current),
      "aria-label": "Strength of attention to it", "data-control": "strength",
      oninput: () => { shown.textContent = `× ${slider.value}`; },
      onchange: () => change(Number(slider.value)),
    });
    return h("section", {},
      h("h3", {}, "What if it had got another share?"),
      h("p", { class: "fact" }, this.pane.canSteerLayers
        ? "The word is still read; its share of attention changes in every layer and head."
        : "The word is still read; only the weight it is pooled with changes."),
      h("div", { class: "editor" }, slider, shown,
        h("button", { type: "button", class: "action", "data-control": "knock", onclick: () => change(current === 0 ? 1 : 0) },
          current === 0 ? "Let it look again" : "Knock out attention to it")));
  }
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
