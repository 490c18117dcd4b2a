// Scores of words by several methods, as a table with a number and a bar for each.

import { h, token } from "./dom.js";

/** @import { Attribution, Explanation } from "./types" */

/** @type {Record<string, string>} */
const NAMES = { "leave-one-out": "Left out", "n-grams": "N-grams", attention: "Attention" };

/**
 * The table of some words; a click on the name of a method chooses it.
 * @param {Explanation} explanation
 * @param {number[]} order positions of the words
 * @param {number} chosen the method in front
 * @param {(index: number) => void} onChoose
 */
export function scoreTable(explanation, order, chosen, onChoose) {
  const { attributions, words, probability } = explanation;
  const heads = attributions.map((method, index) => h("th", { scope: "col" }, h("button", {
    type: "button", "aria-pressed": String(index === chosen), title: method.about, onclick: () => onChoose(index),
  }, methodName(method))));
  const rows = order.map((i) => h("tr", {}, h("th", { scope: "row" }, token(words[i])),
    attributions.map((method) => scoreCell(method, i, probability))));
  const full = attributions.map((method) => h("td", {}, method.scale.replace(/^full bar: /, "")));
  return h("table", { class: "scores" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Word"), heads)),
    h("tbody", {}, rows),
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "Full bar"), full)));
}

/**
 * A number and a bar; for leaving out, also the probability of the label with and without the word.
 * @param {Attribution} method
 * @param {number} index
 * @param {number} probability
 */
function scoreCell(method, index, probability) {
  const value = method.values[index];
  const bar = h("span", { class: (value ?? 0) < 0 ? "bar against" : "bar", "aria-hidden": "true" });
  bar.style.inlineSize = `${Math.min(100, (100 * Math.abs(value ?? 0)) / method.full)}%`;
  const then = method.name === "leave-one-out" && value !== null
    ? h("span", { class: "then" }, `${percent(probability)} → ${percent(after(probability, value))}`) : null;
  return h("td", {}, h("span", { class: "value" }, scoreOf(method, value)), h("span", { class: "track" }, bar), then);
}

/**
 * What the colours mean.
 * @param {Attribution} method
 * @param {string} label
 */
export function legend(method, label) {
  const full = method.scale.replace(/^full bar/, "the strongest shade");
  return method.signed ? `Blue speaks for “${label}”, orange against it; ${full}.` : `${full.replace(/^t/, "T")}.`;
}

/**
 * What a method is called on screen.
 * @param {Attribution} method
 */
export function methodName(method) {
  return NAMES[method.name] ?? method.name;
}

/**
 * Positions by falling size of the score; ties in the order of the text.
 * @param {Attribution} method
 */
export function ranking({ values }) {
  const sizes = values.map((value) => Math.abs(value ?? 0));
  return sizes.map((_, i) => i).sort((a, b) => sizes[b] - sizes[a] || a - b);
}

/**
 * A score as text.
 * @param {Attribution} method
 * @param {number | null} value
 */
export function scoreOf(method, value) {
  if (value === null) return "not measured";
  if (!method.signed) return percent(value);
  const size = Math.abs(value).toFixed(2);
  return size === "0.00" ? size : `${value < 0 ? "−" : "+"}${size}`;
}

/**
 * A probability after its log-odds fall.
 * @param {number} probability
 * @param {number} fall
 */
export function after(probability, fall) {
  return 1 / (1 + Math.exp(fall - Math.log(probability) + Math.log1p(-probability)));
}

/**
 * A share as a percentage; near 0 and 1 with the digits that tell it from them.
 * @param {number} share
 */
export function percent(share) {
  return `${(100 * share).toFixed(share > 0.001 && share < 0.999 ? 1 : 2)} %`;
}
