// Talking to the server. Whatever goes wrong ends up as an `Error` whose message says what to do.

export async function ask(path, question, { signal } = {}) {
  return (await post(path, question, signal)).json();
}

// The same for an answer that grows; `hear` is told each draft.
export async function askAloud(path, question, hear, { signal } = {}) {
  const response = await post(path, { ...question, stream: true }, signal);
  for await (const { name, data } of eventsOf(response.body)) {
    if (name === "draft") hear(data.text);
    if (name === "error") throw new Error(data.error);
    if (name === "answer") return data;
  }
  throw new Error("the server went away in the middle of the answer; try again");
}

export async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

async function post(path, question, signal) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(question),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server cannot be reached; is it still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error ?? `the server answered ${response.status}`);
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [event, data] = block.split("\n");
      yield { name: event.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) };
    }
  }
}
