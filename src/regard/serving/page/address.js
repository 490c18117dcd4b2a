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
    pair: given.get("pair") ?? "",
    reading: readingStep(given.get("reading")),
    panes: given.getAll("model").slice(0, MAX_PANES).map((model, index) => ({
      model,
      begin: given.get(`begin.${index}`) ?? "",
      hide: numbers(given.get(`hide.${index}`)),
      strength: factors(given.get(`strength.${index}`)),
      silence: heads(given.get(`silence.${index}`)),
    })),
  };
}

/**
 * A state as an address holds it, without "#". Defaults are left out.
 * @param {State} state
 */
export function format({ text, pair, reading, panes }) {
  const query = new URLSearchParams(panes.map(({ model }) => ["model", model]));
  panes.forEach(({ begin, hide, strength, silence }, index) => {
    if (begin) query.set(`begin.${index}`, begin);
    if (hide.length) query.set(`hide.${index}`, hide.join(","));
    const pairs = Object.entries(strength);
    if (pairs.length) query.set(`strength.${index}`, pairs.map((pair) => pair.join(":")).join(","));
    if (silence.length) query.set(`silence.${index}`, silence.join(","));
  });
  if (reading !== "own") query.set("reading", reading);
  if (text) query.set("text", text);
  if (pair) query.set("pair", pair);
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
 * "2.1,cross.1.4" as names of heads.
 * @param {string | null} text
 */
function heads(text) {
  return (text ?? "").split(",").filter((name) => /^([a-z_]+\.)?\d+\.\d+$/.test(name));
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
