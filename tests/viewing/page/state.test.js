// The state and its address.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHash, initialState, toHash, viewsOf } from "#viewing/state.js";

/** @import { LayerMap, Metadata } from "../../../src/regard/viewing/page/types" */

/**
 * @param {[heads: number, queries: number, keys: number][]} shapes
 * @returns {Metadata}
 */
function metadata(...shapes) {
  /** @type {LayerMap[]} */
  const layers = shapes.map(([heads, queries, keys]) => ({
    label: "encoder 1", queries: "t", keys: "t", heads, members: 1, head_names: Array.from({ length: heads }, (_, i) => `head ${i + 1}`), shape: [queries, keys], storage: "float32",
    grid: [queries, keys], block_size: [1, 1], top_k: keys, mean_entropy: Array(heads).fill(1),
  }));
  return {
    title: "", reading: "", notes: [], verdict: "", tokens: {}, layers, prediction: null, explanation: null,
    palettes: { light: "", dark: "" }, against: { light: "", dark: "" }, thumbnail_size: 40,
  };
}

const several = metadata([2, 5, 7], [3, 4, 6]);

test("a record opens on the overview, a single map on it, a pooling on its text", () => {
  assert.equal(initialState(several).view, "overview");
  assert.equal(initialState(metadata([1, 5, 7])).view, "map");
  assert.equal(initialState(metadata([1, 1, 7])).view, "text");
  assert.equal(initialState(metadata([2, 1, 7])).view, "overview");
});

test("a single map of an ensemble opens as the mean of its members", () => {
  const ensemble = metadata([3, 1, 7]);
  ensemble.layers[0].members = 3;
  assert.equal(initialState(ensemble).view, "text");
  assert.equal(initialState(ensemble).head, "mean");
});

test("an explanation is the first view, and where a record opens", () => {
  const explanation = { words: [], direction: /** @type {const} */ ("ltr"), label: "a", probability: 1, reason: "", attributions: [] };
  const explained = { ...several, explanation };
  assert.deepEqual(viewsOf(explained), ["attributions", "overview", "map", "links", "text"]);
  assert.equal(initialState(explained).view, "attributions");
});

test("only several heads have an overview", () => {
  assert.deepEqual(viewsOf(several), ["overview", "map", "links", "text"]);
  assert.deepEqual(viewsOf(metadata([1, 5, 7])), ["map", "links", "text"]);
});

test("an address holds what differs from the beginning", () => {
  assert.equal(toHash(initialState(several), several), "");
  const state = { ...initialState(several), layer: 1, head: 0, find: "a b&c", words: true, key: 0 };
  assert.equal(toHash(state, several), "layer=1&head=0&words=true&key=0&find=a+b%26c");
});

test("an address brings its state back", () => {
  /** @type {Partial<import("../../../src/regard/viewing/page/types").State>[]} */
  const changes = [
    { layer: 1, head: 2, view: "map", query: 3, key: 5 },
    { head: "max", view: "links", scale: "log", pool: "mean", theme: "dark" },
    { hideSpecial: true, words: true, find: "ü & #" },
    { x: 1.5, y: -2, zoom: 0.25 },
  ];
  for (const change of changes) {
    const state = { ...initialState(several), ...change };
    assert.deepEqual(fromHash(`#${toHash(state, several)}`, several), state);
  }
});

test("what a record does not have is left out", () => {
  const initial = initialState(several);
  for (const hash of [
    "#layer=2", "#layer=-1", "#layer=x", "#head=2", "#head=1.5", "#head=median", "#query=5", "#key=7", "#key=1e9",
    "#view=<b>", "#scale=cubic", "#pool=min", "#theme=blue", "#hideSpecial=1", "#x=NaN", "#zoom=Infinity", "#%%%", "#constructor=1",
  ]) {
    assert.deepEqual(fromHash(hash, several), initial, hash);
  }
  assert.equal(fromHash("#layer=1&head=2", several).head, 2); // counted in its own layer
  const single = metadata([1, 5, 7]);
  assert.deepEqual(fromHash("#view=overview", single), initialState(single));
  assert.equal(fromHash(`#find=${"w".repeat(300)}`, several).find.length, 200);
});
