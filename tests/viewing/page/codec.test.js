// Codes and chunks against values worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { ArrayReader, WEIGHT_OF_CODE, encodeWeight, encodeWeights, inflate } from "#viewing/codec.js";

test("codes are even steps of the logarithm", () => {
  assert.equal(encodeWeight(1), 255);
  assert.equal(encodeWeight(1e-4), 128); // 127 steps of 8/254 decades below 1
  assert.equal(encodeWeight(0.1), 223); // 255 - 31.75 is 223.25
  assert.equal(encodeWeight(1e-8), 1);
  assert.equal(encodeWeight(9.9e-9), 0);
  assert.equal(encodeWeight(0), 0);
  assert.equal(encodeWeight(1.0001), 255);
});

test("the weight of a code is in the middle of its step", () => {
  assert.equal(WEIGHT_OF_CODE.length, 256);
  assert.equal(WEIGHT_OF_CODE[0], 0);
  assert.equal(WEIGHT_OF_CODE[255], 1);
  assert.equal(WEIGHT_OF_CODE[128], Math.fround(1e-4));
  assert.equal(WEIGHT_OF_CODE[1], Math.fround(1e-8));
  for (let code = 2; code < 256; code++) { // (1e-8 as float32 is a little less than 1e-8)
    assert.equal(encodeWeight(WEIGHT_OF_CODE[code]), code);
    assert.equal(encodeWeight(WEIGHT_OF_CODE[code] * 1.03), code); // half a step is 3.7 %
    assert.equal(encodeWeight(WEIGHT_OF_CODE[code] * 0.97), code);
  }
});

test("an array is encoded element by element", () => {
  assert.deepEqual(encodeWeights(Float32Array.of(0, 1, 0.1)), Uint8Array.of(0, 255, 223));
});

test("a chunk is inflated", async () => {
  const bytes = await inflate("eJzLSM3JyQcABiwCFQ=="); // zlib.compress(b"hello")
  assert.equal(new TextDecoder().decode(bytes), "hello");
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(await inflate(deflateSync(all).toString("base64")), all);
});

test("wide numbers are read from byte planes, one array after another", () => {
  const reader = new ArrayReader(Uint8Array.of(
    7, 8, // two bytes
    1, 2, 0, 1, // 1 and 258 as uint16: low bytes, then high bytes
    0, 0, 0, 0, 0x80, 0, 0x3f, 0xc0, // 1 (00 00 80 3f) and -2 (00 00 00 c0) as float32
    4, 0, 1, 0, // 65540 as uint32
  ));
  assert.deepEqual(reader.uint8(2), Uint8Array.of(7, 8));
  assert.deepEqual(reader.uint16(2), Uint16Array.of(1, 258));
  assert.deepEqual(reader.float32(2), Float32Array.of(1, -2));
  assert.deepEqual(reader.uint32(1), Uint32Array.of(65540));
});
