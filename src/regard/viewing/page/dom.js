// Making elements and formatting what they say. Text from a record only ever becomes text nodes.

/** @import { Attributes, Child } from "./types" */

/**
 * An element with attributes, listeners (`onclick` ...) and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/**
 * A token in running text, isolated (`bdi`) so that its direction does not change that of its surroundings.
 * @param {string} text
 */
export function token(text) {
  return h("bdi", { class: "token", title: text.length > 24 ? text.slice(0, 400) : null }, truncate(text, 48));
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * At most `max` characters as a reader counts them (grapheme clusters), with an ellipsis if there were more.
 * @param {string} text
 * @param {number} max
 */
export function truncate(text, max) {
  if (text.length <= max) return text;
  const parts = [...graphemes.segment(text.slice(0, 8 * max))].slice(0, max).map((part) => part.segment);
  const cut = parts.join("").slice(0, 4 * max);
  return cut.length < text.length ? `${cut}…` : cut;
}

/**
 * A weight with four decimals, or three digits if it is small; with "≈" and two digits if it is not exact.
 * @param {number} weight
 * @param {boolean} exact
 */
export function formatWeight(weight, exact = true) {
  if (!exact) return `≈ ${weight === 0 ? "0" : weight < 1e-4 ? weight.toExponential(0) : Number(weight.toPrecision(2))}`;
  if (weight === 0) return "0";
  return weight < 0.001 ? weight.toPrecision(3) : weight.toFixed(4);
}

/**
 * A count with its noun, as in "1 layer" and "2 layers".
 * @param {number} count
 * @param {string} noun
 */
export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
