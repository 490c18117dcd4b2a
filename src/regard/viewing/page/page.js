// The page opened from disk: the record lies in it, one script element of data for each map.

import { start } from "./main.js";

const source = { chunk: (name) => document.getElementById(`chunk-${name}`).textContent };
// In the frame of a notebook the address is nobody's, so no link leads to what is shown.
const address = location.protocol === "about:" ? null : location;
start(document.getElementById("record"), JSON.parse(document.getElementById("about").textContent), source, { address });
