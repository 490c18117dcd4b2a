// What a pane asks the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Pane, unsteered } from "#serving/pane.js";
import { FakeElement, inside, install } from "../../fake_dom.js";

/** @import { App } from "../../../src/regard/serving/page/main.js" */
/** @import { Steering, Task } from "../../../src/regard/serving/page/types" */

install();

/**
 * @param {Task} task
 * @param {Partial<Steering>} steering
 */
function paneFor(task, steering = {}, reading = "input") {
  const app = /** @type {App} */ (/** @type {unknown} */ ({ reading, announce: () => {} }));
  const info = { name: "m", task, kind: "rnn", parameters: 1234, writes: task !== "classification", verdict: "" };
  const pane = new Pane(app, info, { model: "m", ...unsteered(), ...steering });
  pane.text = "a b";
  return pane;
}

test("a question has what steers its task, unless it asks for the answer without", () => {
  const translation = paneFor("translation", { begin: "the", hide: [1] });
  assert.deepEqual(translation.question(true), { model: "m", text: "a b", reading: "input", begin: "the", hide: [1] });
  assert.deepEqual(translation.question(false), { model: "m", text: "a b", reading: "input" });
  assert.deepEqual(paneFor("translation", {}, "own").question(false), { model: "m", text: "a b" });
  const classification = paneFor("classification", { strength: { 0: 2 } });
  assert.deepEqual(classification.question(true), { model: "m", text: "a b", strength: { 0: 2 } });
  assert.deepEqual(classification.question(false), { model: "m", text: "a b", explain: true });
  assert.equal(classification.path, "/classify");
});

test("the page of all maps is read at the same step", () => {
  /** @param {string} reading */
  const address = (reading) => {
    const [anchor] = inside(paneFor("translation", {}, reading).recordLink("the")).children;
    return anchor instanceof FakeElement ? anchor.attributes.href : "";
  };
  assert.match(address("input"), /^\/view\?.*reading=input/);
  assert.match(address("own"), /^\/view\?/);
  assert.doesNotMatch(address("own"), /reading/);
});

test("whether an answer is steered", () => {
  assert.equal(paneFor("translation").steered, false);
  assert.equal(paneFor("translation", { hide: [0] }).steered, true);
  assert.equal(paneFor("translation", { begin: "x" }).steered, true);
  assert.equal(paneFor("classification", { strength: { 3: 0 } }).steered, true);
});

test("a pane says what its model is", () => {
  const pane = paneFor("translation");
  assert.match(inside(pane.element).textContent, /^mrnn, 1,234 parameters/);
  assert.equal(pane.nameOf(4), "word 5"); // before there is an answer
});
