// Light or dark: as the system has it, until somebody says otherwise.

import { h } from "../../viewing/page/dom.js";

const KEY = "regard-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function themeButton(root) {
  let chosen = localStorage.getItem(KEY);
  const button = h("button", { type: "button", onclick: () => {
    chosen = shown() === "dark" ? "light" : "dark";
    localStorage.setItem(KEY, chosen);
    apply();
  } });
  const shown = () => chosen ?? (system.matches ? "dark" : "light");
  const apply = () => {
    root.dataset.theme = document.documentElement.dataset.theme = shown();
    button.textContent = shown() === "dark" ? "Light theme" : "Dark theme";
  };
  system.addEventListener("change", apply);
  apply();
  return button;
}
