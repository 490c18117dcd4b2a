// CSV, worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { csv, scoresCsv } from "#viewing/download.js";
import { CodedMatrix, DenseMatrix } from "#viewing/matrix.js";

test("CSV of every cell, with quotes doubled", () => {
  const matrix = new DenseMatrix(['say "a"', "b"], ["x,y", "=1"], Float32Array.of(0.5, 0.5, 0.1, 0.9));
  assert.equal(csv(matrix), ',"x,y","=1"\r\n"say ""a""",0.5,0.5\r\n"b",0.1,0.9\r\n');
});

test("CSV of a map of blocks lists what is exact", () => {
  const matrix = new CodedMatrix({
    rows: ["a", "b"], columns: ["x", "y"], storage: "blocks",
    level: { max: Uint8Array.of(255), mean: Uint8Array.of(200), rows: 1, columns: 1, blockRows: 2, blockColumns: 2 },
    top: { values: Float32Array.of(0.75, 0.5), keys: Uint16Array.of(1, 0), k: 1, approximate: false },
    entropy: new Float32Array(2), received: new Float32Array(2),
  });
  assert.equal(csv(matrix), 'query,query token,key,key token,weight\r\n1,"a",2,"y",0.75\r\n2,"b",1,"x",0.5\r\n');
});

test("CSV of scores has a line for each word and leaves out what was not measured", () => {
  const method = { about: "", signed: true, full: 1, scale: "" };
  const attributions = [{ ...method, name: "leave-one-out", values: [0.5, null] }, { ...method, name: "attention", values: [0.25, 0.75] }];
  const explanation = { words: ['a "b"', "c"], direction: /** @type {const} */ ("ltr"), label: "x", probability: 1, reason: "", attributions };
  assert.equal(scoresCsv(explanation), '"word","leave-one-out","attention"\r\n"a ""b""",0.5,0.25\r\n"c",,0.75\r\n');
});
