// Requests, events that arrive in pieces, and errors.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { get, isAbort, messageOf, post, postStreaming, serverSentEvents } from "#serving/client.js";

const fetched = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = fetched;
});

/** @param {() => Response} answer */
function serve(answer) {
  /** @type {{ path: unknown, options?: RequestInit }[]} */
  const asked = [];
  globalThis.fetch = async (path, options) => {
    asked.push({ path, options });
    return answer();
  };
  return asked;
}

/** @param {Uint8Array<ArrayBuffer>[]} parts */
function streamOf(...parts) {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}

const events = 'event: draft\ndata: {"text": "der müde"}\n\nevent: answer\ndata: {"label": "x"}\n\n';

test("events are read wherever the stream is cut, even inside a character", async () => {
  const bytes = new TextEncoder().encode(events);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const found = [];
    for await (const event of serverSentEvents(streamOf(bytes.slice(0, cut), bytes.slice(cut)))) found.push(event);
    assert.deepEqual(found, [{ name: "draft", data: { text: "der müde" } }, { name: "answer", data: { label: "x" } }]);
  }
});

test("drafts are told, and the answer is returned", async () => {
  const asked = serve(() => new Response(events));
  /** @type {string[]} */
  const drafts = [];
  const answer = await postStreaming("/translate", { text: "a" }, (text) => drafts.push(text));
  assert.deepEqual([answer, drafts], [{ label: "x" }, ["der müde"]]);
  assert.deepEqual(JSON.parse(String(asked[0].options?.body)), { text: "a", stream: true });
});

test("an error in the stream, or its early end, is thrown", async () => {
  serve(() => new Response('event: error\ndata: {"error": "too long"}\n\n'));
  await assert.rejects(postStreaming("/translate", {}, () => {}), /^Error: too long$/);
  serve(() => new Response('event: draft\ndata: {"text": "a"}\n\n'));
  await assert.rejects(postStreaming("/translate", {}, () => {}), /went away in the middle/);
});

test("a refusal says what the server says", async () => {
  serve(() => Response.json({ error: "word 9 of a text of 3 words" }, { status: 422 }));
  await assert.rejects(post("/classify", {}), /^Error: word 9 of a text of 3 words$/);
  serve(() => new Response("<html>", { status: 502 }));
  await assert.rejects(post("/classify", {}), /^Error: the server answered 502$/);
  await assert.rejects(get("/health"), /^Error: \/health answered 502$/);
});

test("a server that cannot be reached is told from a request that was aborted", async () => {
  globalThis.fetch = async () => { throw new TypeError("failed to fetch"); };
  await assert.rejects(post("/classify", {}), /cannot be reached; is it still running/);
  globalThis.fetch = async () => { throw new DOMException("aborted", "AbortError"); };
  await assert.rejects(post("/classify", {}), isAbort);
  assert.equal(isAbort(new Error("AbortError")), false);
});

test("whatever is thrown has a message", () => {
  assert.equal(messageOf(new Error("why")), "why");
  assert.equal(messageOf("why"), "why");
});
