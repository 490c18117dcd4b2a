// Scores of words, as text and in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { after, legend, percent, ranking, scoreOf } from "#viewing/scores.js";

/** @import { Attribution } from "../../../src/regard/viewing/page/types" */

/** @type {Attribution} */
const signed = {
  name: "leave-one-out", about: "", signed: true, full: 2, scale: "full bar: 2.00 in log-odds", values: [0.5, null, -2, 0.5],
};

test("words are ordered by the size of their score, ties as in the text, those not measured last", () => {
  assert.deepEqual(ranking(signed), [2, 0, 3, 1]);
});

test("scores say their sign, shares their percentage, and what is missing that it is", () => {
  assert.deepEqual(signed.values.map((value) => scoreOf(signed, value)), ["+0.50", "not measured", "−2.00", "+0.50"]);
  assert.equal(scoreOf({ ...signed, signed: false }, 0.25), "25.0 %");
  assert.deepEqual([percent(0.9999), percent(0.5), percent(1)], ["99.99 %", "50.0 %", "100.00 %"]);
});

test("a probability after its log-odds fall", () => {
  assert.ok(Math.abs(after(0.9, Math.log(9)) - 0.5) < 1e-12);
  assert.equal(after(1, 3), 1);
});

test("the legend says what the darkest shade means", () => {
  assert.match(legend(signed, "good"), /Blue speaks for “good”.*the strongest shade: 2\.00 in log-odds/);
  assert.equal(legend({ ...signed, signed: false, scale: "full bar: 20%; an even share is 5%" }, "good"), "The strongest shade: 20%; an even share is 5%.");
});
