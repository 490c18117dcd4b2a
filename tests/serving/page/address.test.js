// The address of the web app.

import assert from "node:assert/strict";
import { test } from "node:test";
import { format, parse } from "#serving/address.js";

/** @import { State } from "../../../src/regard/serving/page/types" */

const nothing = { begin: "", hide: [], strength: {}, silence: [] };

test("an empty address", () => {
  assert.deepEqual(parse(""), { text: "", pair: "", reading: "own", panes: [] });
  assert.deepEqual(parse("#"), parse(""));
  assert.equal(format(parse("")), "");
});

test("everything is written and read again", () => {
  /** @type {State} */
  const state = {
    text: "der & mann = 100 %", pair: "ein & hund", reading: "input",
    panes: [{ model: "de-en", begin: "the “dog”", hide: [2, 5], strength: {}, silence: [] },
      { model: "young", begin: "", hide: [], strength: { 3: 0.5, 4: 2 }, silence: ["2.1", "cross.1.12"] }],
  };
  const hash = format(state);
  assert.equal(hash.split("&")[0], "model=de-en");
  assert.ok(hash.includes("hide.0=2%2C5") && hash.includes("strength.1=3%3A0.5%2C4%3A2"));
  assert.deepEqual(parse(`#${hash}`), state);
});

test("defaults are left out", () => {
  assert.equal(format({ text: "", pair: "", reading: "own", panes: [{ model: "m", ...nothing }] }), "model=m");
});

test("a step that was chosen stays, whatever the model's own is", () => {
  for (const reading of /** @type {const} */ (["output", "input"])) {
    assert.equal(parse(format({ text: "", pair: "", reading, panes: [] })).reading, reading);
  }
});

test("what cannot be read is left out", () => {
  const { panes } = parse("#model=a&model=b&model=c&hide.0=1,x,-2,3.5,4&strength.0=1:2,x:1,2:101,3:-1,4:y,5,6:0&silence.0=1.2,3,x.1.1,a.b,<.1.1");
  assert.equal(panes.length, 2);
  assert.deepEqual(panes[0].hide, [1, 4]);
  assert.deepEqual(panes[0].strength, { 1: 2, 6: 0 });
  assert.deepEqual(panes[0].silence, ["1.2", "x.1.1"]);
  assert.deepEqual(panes[1], { model: "b", ...nothing });
  assert.equal(parse("#reading=sideways").reading, "own");
});
