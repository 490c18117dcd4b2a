// Entry point of a saved page, where the record is: one script element of data for each chunk.

import { start } from "./main.js";

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`this page has no element "${id}"`);
  return found;
}

// In the frame of a notebook the address belongs to nobody, so the state is not written there.
const address = location.protocol === "about:" ? null : location;
const source = { chunk: (/** @type {string} */ name) => element(`chunk-${name}`).textContent };
start(element("record"), JSON.parse(element("metadata").textContent), source, address);
