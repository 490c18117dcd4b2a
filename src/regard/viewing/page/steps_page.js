// Entry point of a saved page of steps.

import { StepsPage } from "./steps.js";

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`this page has no element "${id}"`);
  return found;
}

const root = element("steps");
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => root.setAttribute("data-theme", dark.matches ? "dark" : "light");
dark.addEventListener("change", follow);
follow();
root.classList.add("regard");
new StepsPage(root, JSON.parse(element("problem").textContent));
