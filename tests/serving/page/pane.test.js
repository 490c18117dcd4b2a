// What a pane asks the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FillView } from "#serving/filling.js";
import { HeadGrid } from "#serving/heads.js";
import { Pane, unsteered } from "#serving/pane.js";
import { FakeElement, inside, install } from "../../fake_dom.js";

/** @import { App } from "../../../src/regard/serving/page/main.js" */
/** @import { Steering, Task, Verb } from "../../../src/regard/serving/page/types" */

install();

/** @type {Record<Task, Verb>} */
const VERBS = { translation: "translate", summarization: "summarize", classification: "classify", language: "generate" };

/**
 * @param {Task} task
 * @param {Partial<Steering>} steering
 * @param {string} reading
 * @param {Record<string, number[]>} heads
 * @param {Verb} verb
 */
function paneFor(task, steering = {}, reading = "input", heads = {}, verb = VERBS[task]) {
  const app = /** @type {App} */ (/** @type {unknown} */ ({ reading, announce: () => {} }));
  const info = { name: "m", task, kind: "rnn", parameters: 1234, verb, writes: task !== "classification", verdict: "",
    reads_pairs: task === "classification", heads };
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

test("heads are silenced, and two texts are sent together, where a model can do so", () => {
  const pane = paneFor("classification", { silence: ["2.1"], strength: { 3: 0, 4: 2 } }, "own", { encoder: [2, 2] });
  pane.pair = "c d";
  const asked = { model: "m", text: "a b", pair: "c d" };
  assert.deepEqual(pane.question(true), { ...asked, strength: { 3: 0, 4: 2 }, silence: ["2.1"] });
  assert.deepEqual(pane.question(false), { ...asked, explain: true });
  const [anchor] = inside(pane.recordLink("")).children;
  assert(anchor instanceof FakeElement);
  assert.match(anchor.attributes.href, /pair=c\+d&hide=3&silence=2\.1$/);
  assert.match(inside(pane.recordLink("")).textContent, /without the change of words/); // × 2 is not in the page
  const writing = paneFor("translation", { silence: ["cross.1.1"] }, "own", { cross: [1] });
  assert.deepEqual(writing.question(true), { model: "m", text: "a b", begin: "", hide: [], silence: ["cross.1.1"] });
});

test("a grid has a button for each head, which silences it and gives it back", () => {
  /** @type {string[][]} */
  const changes = [];
  const grid = new HeadGrid({ encoder: [2], cross: [2] }, (silence) => changes.push(silence));
  assert.deepEqual([...grid.buttons.keys()], ["encoder.1.1", "encoder.1.2", "cross.1.1", "cross.1.2"]);
  grid.toggle("cross.1.2");
  grid.show(["cross.1.2"]);
  assert.equal(inside(grid.buttons.get("cross.1.2")).attributes["aria-pressed"], "true");
  assert.equal(inside(grid.buttons.get("cross.1.1")).attributes["aria-pressed"], "false");
  grid.toggle("encoder.1.1");
  grid.toggle("cross.1.2");
  assert.deepEqual(changes, [["cross.1.2"], ["cross.1.2", "encoder.1.1"], []]);
  assert.deepEqual([...new HeadGrid({ encoder: [1, 1] }, () => {}).buttons.keys()], ["1.1", "2.1"]);
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

test("masked words are shown with what may stand there, and with what their places attended to", () => {
  const pane = paneFor("language", {}, "own", {}, "fill");
  pane.info.writes = false;
  assert.equal(pane.path, "/fill");
  assert.deepEqual(pane.question(true), { model: "m", text: "a b" });
  const words = ["fish", "[MASK]", "[MASK]"].map((text, i) => ({ text, start: 7 * i, end: 7 * i + text.length, special: false }));
  pane.show({ model: "m", source: { text: "fish   [MASK] [MASK]", words }, reading: "in the last layer", masks: [
    { word: 1, choices: [{ word: "old", probability: 0.75 }, { word: "red", probability: 0.25 }], attention: [0.5, 0.5, 0] },
    { word: 2, choices: [{ word: "sea", probability: 1 }], attention: [1, 0, 0] },
  ] });
  assert.match(inside(pane.body).textContent, /Place 1old75\.0 %red25\.0 %.*in the last layer/s);
  assert(pane.view instanceof FillView);
  pane.view.choose(0); // no place
  assert.match(inside(pane.body).textContent, /Place 1old/);
  pane.view.choose(2);
  assert.match(inside(pane.body).textContent, /Place 2sea100\.0 %/);
});
