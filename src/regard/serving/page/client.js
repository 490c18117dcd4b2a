// Talking to the server. Whatever goes wrong becomes an `Error` whose message says what to do.

/** @typedef {{ signal?: AbortSignal }} Options */
/**
 * @typedef {{ name: "draft", data: { text: string } }
 *   | { name: "error", data: { error: string } }
 *   | { name: "answer", data: unknown }} ServerEvent
 */

/**
 * The answer to a question.
 * @param {string} path
 * @param {object} question
 * @param {Options} options
 * @returns {Promise<unknown>}
 */
export async function post(path, question, { signal } = {}) {
  return (await send(path, question, signal)).json();
}

/**
 * The answer to a question that is answered in server-sent events, with drafts before it.
 * @param {string} path
 * @param {object} question
 * @param {(text: string) => void} onDraft
 * @param {Options} options
 * @returns {Promise<unknown>}
 */
export async function postStreaming(path, question, onDraft, { signal } = {}) {
  const { body } = await send(path, { ...question, stream: true }, signal);
  for await (const { name, data } of body ? serverSentEvents(body) : []) {
    if (name === "draft") onDraft(data.text);
    if (name === "error") throw new Error(data.error);
    if (name === "answer") return data;
  }
  throw new Error("the server went away in the middle of the answer; try again");
}

/**
 * JSON from the server.
 * @param {string} path
 * @returns {Promise<unknown>}
 */
export async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/**
 * @param {string} path
 * @param {object} question
 * @param {AbortSignal} [signal]
 */
async function send(path, question, signal) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(question),
      signal,
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Error("the server cannot be reached; is it still running?", { cause: error });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.error ?? `the server answered ${response.status}`);
}

/**
 * Whether a request ended because it was aborted.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * The message of whatever was thrown.
 * @param {unknown} error
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The events of a stream, which may be cut anywhere.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 */
export async function* serverSentEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const [event, data] = block.split("\n");
      const [name, json] = [event.slice("event: ".length), data.slice("data: ".length)];
      yield /** @type {ServerEvent} */ ({ name, data: JSON.parse(json) });
    }
  }
}
