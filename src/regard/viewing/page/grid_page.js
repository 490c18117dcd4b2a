// Entry point of a saved page of heads: one script element of data for each chunk of each record.

import { HeadGrid } from "./grid.js";

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`this page has no element "${id}"`);
  return found;
}

/**
 * @param {number} example
 * @param {number} panel
 */
function source(example, panel) {
  return { chunk: (/** @type {string} */ name) => element(`chunk-${example}-${panel}-${name}`).textContent };
}

new HeadGrid(element("grid"), JSON.parse(element("metadata").textContent), source, location);
