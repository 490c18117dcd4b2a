// What counts for an answer: the text, shaded by one method, and its words with a bar for every method.

import { ColorScale } from "./colors.js";
import { h, truncate } from "./dom.js";
import { legend, methodName, percent, ranking, scoreOf, scoreTable } from "./scores.js";
import { fitText, textWidth } from "./surface.js";

/** @import { App } from "./main.js" */
/** @import { Explanation, Prediction, Surface } from "./types" */

const LISTED = 30; // words in the table before all are asked for
const MAX_SHOWN = 3000; // words at once: a page of 32k elements would not move
const MAX_LABELS = 6;
const PADDING = 5; // pixels beside a word that is drawn

export class AttributionsView {
  /** @param {App} app */
  constructor(app) {
    const { explanation, prediction, against } = app.metadata;
    this.app = app;
    this.explanation = explanation;
    this.chosen = 0; // the method that shades the text and orders the words
    this.listed = LISTED;
    this.against = { light: new ColorScale(against.light), dark: new ColorScale(against.dark) };
    this.text = h("p", { class: "tokens", dir: explanation?.direction });
    this.about = h("p", { class: "fact" });
    this.table = h("div", { class: "table" });
    this.more = h("button", { type: "button", class: "more", onclick: () => this.showAll() }, "Show all words");
    this.element = h("div", { class: "attributions", hidden: true });
    if (!explanation) return; // and the view is not offered
    this.element.append(
      prediction ? answerLine(prediction) : "",
      h("section", {}, this.about, this.text),
      h("section", {}, this.table, this.more),
      h("p", { class: "fact" }, explanation.reason));
  }

  /** @returns {Explanation} */
  get scores() {
    if (!this.explanation) throw new Error("this record has no explanation");
    return this.explanation;
  }

  get method() {
    return this.scores.attributions[this.chosen];
  }

  render() {
    const { label } = this.scores;
    this.about.textContent = `${methodName(this.method)}: ${this.method.about}. ${legend(this.method, label)}`;
    this.renderText();
    const order = ranking(this.method).slice(0, this.listed);
    const table = scoreTable(this.scores, order, this.chosen, (index) => this.choose(index));
    this.table.replaceChildren(table);
    this.more.hidden = order.length === this.scores.words.length;
  }

  renderText() {
    const { words } = this.scores;
    const { values } = this.method;
    const center = ranking(this.method)[0] ?? 0;
    const start = Math.max(0, Math.min(center - MAX_SHOWN / 2, words.length - MAX_SHOWN));
    const end = Math.min(words.length, start + MAX_SHOWN);
    /** @type {(Node | string)[]} */
    const items = start > 0 ? [h("bdi", { class: "omitted" }, `… ${start} words before`), " "] : [];
    for (let i = start; i < end; i++) {
      const item = h("bdi", { class: "token", title: `${methodName(this.method)} ${scoreOf(this.method, values[i])}` }, truncate(words[i], 60));
      Object.assign(item.style, this.shade(values[i]));
      items.push(item, " ");
    }
    if (end < words.length) items.push(h("bdi", { class: "omitted" }, `… ${words.length - end} words after`));
    this.text.replaceChildren(...items);
  }

  /**
   * Colours of a word.
   * @param {number | null} value
   */
  shade(value) {
    const { state, prefersDark, colors: own } = this.app;
    const theme = state.theme === "system" ? (prefersDark.matches ? "dark" : "light") : state.theme;
    const colors = (value ?? 0) < 0 ? this.against[theme] : own;
    const size = Math.abs(value ?? 0);
    return { background: colors.color(size, this.method.full, "linear"), color: colors.textColor(size, this.method.full, "linear") };
  }

  /** @param {number} index of a method */
  choose(index) {
    this.chosen = index;
    this.render();
    this.app.announce(`Words by ${methodName(this.method)}`);
    const button = this.table.querySelectorAll("thead button")[index];
    if (button instanceof HTMLElement) button.focus();
  }

  showAll() {
    this.listed = MAX_SHOWN;
    this.render();
    this.more.hidden = true;
  }

  /**
   * The text as a picture, for the download.
   * @param {Surface} surface
   */
  draw(surface) {
    const { themeColors } = this.app;
    const { words, label, direction } = this.scores;
    surface.text(`${methodName(this.method)}, ${label}`, 8, 16, { size: 13, weight: 650, color: themeColors.text });
    let [x, y] = [8, 46];
    for (let i = 0; i < Math.min(words.length, MAX_SHOWN) && y < surface.height; i++) {
      const text = fitText(words[i], surface.width - 40, 15);
      const width = textWidth(text, 15) + 2 * PADDING;
      if (x + width > surface.width - 8) [x, y] = [8, y + 28];
      const left = direction === "rtl" ? surface.width - x - width : x;
      const { background, color } = this.shade(this.method.values[i]);
      surface.rect(left, y - 11, width, 22, { fill: background, radius: 4 });
      surface.text(text, left + PADDING, y, { size: 15, color });
      x += width + 4;
    }
  }
}

/**
 * The answer with its probability, and the labels that came next.
 * @param {Prediction} prediction
 */
function answerLine({ labels, probabilities }) {
  const chosen = new Set(labels);
  const items = probabilities.slice(0, MAX_LABELS).map(({ label, probability }) => h("li", { class: chosen.has(label) ? "chosen" : null },
    h("bdi", {}, truncate(label, 60)), ` ${percent(probability)}`));
  const rest = probabilities.length - items.length;
  return h("ul", { class: "prediction", "aria-label": "Answer" }, items, rest > 0 ? h("li", {}, `and ${rest} more`) : null);
}
