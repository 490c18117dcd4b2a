// The state of the view, and the part of the address after `#` that holds it.

/** @import { Metadata, State, ViewName } from "./types" */

/** @type {readonly State["scale"][]} */
export const SCALES = ["linear", "log", "row"];
/** @type {readonly State["theme"][]} */
export const THEMES = ["system", "light", "dark"];
/** @type {readonly ViewName[]} */
const MAP_VIEWS = ["overview", "map", "links", "text"];
const MAX_FIND = 200; // characters

/**
 * The views that a record has: attributions are of an explanation, an overview is of several heads.
 * @param {Metadata} metadata
 * @returns {readonly ViewName[]}
 */
export function viewsOf({ layers, explanation }) {
  const views = layers.length === 1 && layers[0].heads === 1 ? MAP_VIEWS.slice(1) : MAP_VIEWS;
  return explanation ? ["attributions", ...views] : views;
}

/**
 * The state in which a record opens.
 * @param {Metadata} metadata
 * @returns {State}
 */
export function initialState(metadata) {
  const [first, second] = viewsOf(metadata);
  const [layer, ...others] = metadata.layers;
  // A single map of an ensemble opens as the mean of its members, which are no layers to choose among.
  const view = first === "overview" && !others.length && layer.members > 1 ? second : first;
  return {
    layer: 0, head: "mean", view: view === "map" && layer.shape[0] === 1 ? "text" : view,
    scale: "linear", pool: "max", hideSpecial: false, words: false, query: 0, key: null,
    find: "", theme: "system", x: null, y: null, zoom: null,
  };
}

/**
 * What differs from the initial state, as a query string.
 * @param {State} state
 * @param {Metadata} metadata
 */
export function toHash(state, metadata) {
  const initial = new Map(Object.entries(initialState(metadata)));
  const changed = Object.entries(state).filter(([name, value]) => value !== initial.get(name) && value !== null);
  return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
}

/**
 * The state that an address holds. Anybody can write an address, so every value is checked against the record.
 * @param {string} hash
 * @param {Metadata} metadata
 */
export function fromHash(hash, metadata) {
  const state = initialState(metadata);
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  state.layer = integer(given, "layer", metadata.layers.length) ?? state.layer;
  const layer = metadata.layers[state.layer];
  /** @type {readonly ("mean" | "max")[]} */
  const reductions = ["mean", "max"];
  state.head = integer(given, "head", layer.heads) ?? choice(given, "head", reductions) ?? state.head;
  state.query = integer(given, "query", layer.shape[0]) ?? state.query;
  state.key = integer(given, "key", layer.shape[1]) ?? state.key;
  state.view = choice(given, "view", viewsOf(metadata)) ?? state.view;
  state.scale = choice(given, "scale", SCALES) ?? state.scale;
  state.pool = choice(given, "pool", reductions) ?? state.pool;
  state.theme = choice(given, "theme", THEMES) ?? state.theme;
  state.hideSpecial = given.get("hideSpecial") === "true";
  state.words = given.get("words") === "true";
  state.x = finite(given, "x");
  state.y = finite(given, "y");
  state.zoom = finite(given, "zoom");
  state.find = (given.get("find") ?? "").slice(0, MAX_FIND);
  return state;
}

/**
 * An integer from 0 to less than `count`.
 * @param {URLSearchParams} given
 * @param {string} name
 * @param {number} count
 */
function integer(given, name, count) {
  const value = Number(given.get(name));
  return given.has(name) && Number.isInteger(value) && value >= 0 && value < count ? value : null;
}

/**
 * One of some values.
 * @template {string} Value
 * @param {URLSearchParams} given
 * @param {string} name
 * @param {readonly Value[]} among
 */
function choice(given, name, among) {
  return among.find((value) => value === given.get(name)) ?? null;
}

/**
 * @param {URLSearchParams} given
 * @param {string} name
 */
function finite(given, name) {
  const value = Number(given.get(name));
  return given.has(name) && Number.isFinite(value) ? value : null;
}
