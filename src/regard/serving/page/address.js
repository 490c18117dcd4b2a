// The state of the page as the part of the address after `#`, which browsers do not send to servers.

/** @import { ReadingStep, State } from "./types" */

const MAX_PANES = 2;
const MAX_STRENGTH = 100; // as the server takes

/**
 * The state that an address holds; what cannot be read is left out.
 * @param {string} hash
 * @returns {State}
 */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  return {
    text: given.get("text") ?? "",
    reading: readingStep(given.get("reading")),
    panes: given.getAll("model").slice(0, MAX_PANES).map((model, index) => ({
      model,
      begin: given.get(`begin.${index}`) ?? "",
      hide: numbers(given.get(`hide.${index}`)),
      strength: factors(given.get(`strength.${index}`)),
    })),
  };
}

/**
 * A state as an address holds it, without "#". Defaults are left out.
 * @param {State} state
 */
export function format({ text, reading, panes }) {
  const query = new URLSearchParams(panes.map(({ model }) => ["model", model]));
  panes.forEach(({ begin, hide, strength }, index) => {
    if (begin) query.set(`begin.${index}`, begin);
    if (hide.length) query.set(`hide.${index}`, hide.join(","));
    const pairs = Object.entries(strength);
    if (pairs.length) query.set(`strength.${index}`, pairs.map((pair) => pair.join(":")).join(","));
  });
  if (reading !== "own") query.set("reading", reading);
  if (text) query.set("text", text);
  return query.toString();
}

/**
 * A choice of the decoder step; the model's own for anything else.
 * @param {string | null} text
 * @returns {ReadingStep}
 */
export function readingStep(text) {
  return text === "output" || text === "input" ? text : "own";
}

/**
 * "2,5" as numbers.
 * @param {string | null} text
 */
function numbers(text) {
  return (text ?? "").split(",").filter(isIndex).map(Number);
}

/**
 * "3:0.5,4:2" as factors by word.
 * @param {string | null} text
 * @returns {Record<string, number>}
 */
function factors(text) {
  const pairs = (text ?? "").split(",").map((part) => part.split(":"));
  return Object.fromEntries(pairs
    .filter(([word, factor]) => isIndex(word) && Number(factor) >= 0 && Number(factor) <= MAX_STRENGTH)
    .map(([word, factor]) => [word, Number(factor)]));
}

/** @param {string} text */
function isIndex(text) {
  return /^\d+$/.test(text);
}
