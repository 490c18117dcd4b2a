// The page opened from disk: the record lies in it, one script element of data for each map.

import { start } from "./main.js";

const source = { chunk: (name) => document.getElementById(`chunk-${name}`).textContent };
start(document.getElementById("record"), JSON.parse(document.getElementById("about").textContent), source, { address: location });
