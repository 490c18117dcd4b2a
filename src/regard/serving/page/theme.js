// The light or the dark theme: the system's, until somebody chooses.

import { h } from "../../viewing/page/dom.js";

const KEY = "regard-theme"; // of the choice, in the browser's storage

/**
 * A button that switches the theme of the page.
 * @param {HTMLElement} root
 */
export function themeButton(root) {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = localStorage.getItem(KEY);
  const current = () => chosen ?? (prefersDark.matches ? "dark" : "light");
  const button = h("button", { type: "button", onclick: () => {
    chosen = current() === "dark" ? "light" : "dark";
    localStorage.setItem(KEY, chosen);
    apply();
  } });
  const apply = () => {
    root.dataset.theme = document.documentElement.dataset.theme = current();
    button.textContent = current() === "dark" ? "Light theme" : "Dark theme";
  };
  prefersDark.addEventListener("change", apply);
  apply();
  return button;
}
