// The same front end as a notebook widget: the record comes from the kernel instead of the page.

import { start } from "./main.js";

export default {
  async render({ model, el }) {
    const { about, chunks } = model.get("record");
    const root = document.createElement("div");
    root.style.blockSize = "640px";
    el.append(root);
    await start(root, about, { chunk: (name) => chunks[name] });
  },
};
