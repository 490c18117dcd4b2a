// Entry point of the notebook widget, whose record comes from the kernel.

import { start } from "./main.js";

/** @import { Metadata } from "./types" */

/** @typedef {{ metadata: Metadata, chunks: Record<string, string> }} Packed */

export default {
  /**
   * What anywidget calls.
   * @param {{ model: { get(name: "record"): Packed }, el: HTMLElement }} view
   */
  async render({ model, el }) {
    const { metadata, chunks } = model.get("record");
    const root = document.createElement("div");
    root.style.blockSize = "640px";
    el.append(root);
    await start(root, metadata, { chunk: (name) => chunks[name] });
  },
};
