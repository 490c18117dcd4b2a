// Masked words: what may stand in each place, and what that place attended to.

import { h, truncate } from "../../viewing/page/dom.js";
import { WordList, fullShare, nameOf } from "./words.js";

/** @import { Pane } from "./pane.js" */
/** @import { FillAnswer } from "./types" */

export class FillView {
  /**
   * @param {Pane} pane
   * @param {FillAnswer} answer
   */
  constructor(pane, answer) {
    this.pane = pane;
    this.answer = answer;
    this.chosen = 0; // of the masks
    this.words = new WordList(answer.source, {
      label: "What it read, shaded by what the chosen place attended to",
      onHover: (index) => this.hover(index),
      onChoose: (index) => this.choose(index),
    });
    this.words.mark("edited-word", answer.masks.map(({ word }) => word));
    this.choices = h("div", { class: "line" });
    this.element = h("div", { class: "classification" },
      h("div", { class: "line" }, h("h3", {}, "Read"), this.words.element), this.choices,
      h("p", { class: "fact" }, `Shaded: attention from the chosen place ${answer.reading}.`));
    this.show();
  }

  /** Show what may stand in the chosen place. */
  show() {
    const { word, choices, attention } = this.answer.masks[this.chosen];
    this.words.press(word);
    this.words.shade(attention, fullShare(attention));
    const which = this.answer.masks.length > 1 ? `Place ${this.chosen + 1}` : "Answer";
    this.choices.replaceChildren(h("h3", {}, which), h("ol", { class: "labels" }, choices.map(({ word: text, probability }, index) => {
      const bar = h("span", { class: "bar" });
      bar.style.inlineSize = `${100 * probability}%`;
      return h("li", { class: index ? null : "chosen" }, bar, h("bdi", { class: "token" }, truncate(text, 40)),
        h("span", { class: "value" }, `${(100 * probability).toFixed(1)} %`));
    })));
  }

  /** @param {number | null} index */
  hover(index) {
    this.words.mark("hovered", index === null ? [] : [index]);
    if (index === null) return;
    const share = this.answer.masks[this.chosen].attention[index];
    this.pane.announce(`${nameOf(this.answer.source.words[index])} got ${(100 * share).toFixed(1)} % of attention`);
  }

  /**
   * Choose a masked place; other words have nothing to choose.
   * @param {number} index
   */
  choose(index) {
    const mask = this.answer.masks.findIndex(({ word }) => word === index);
    if (mask < 0) return;
    this.chosen = mask;
    this.show();
    this.pane.announce(this.answer.masks[mask].choices.map(({ word }) => word).join(", "));
  }
}
