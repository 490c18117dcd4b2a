// What is on screen as the part of the address after `#`, which never leaves the browser by itself.

export function read() {
  const found = new URLSearchParams(location.hash.slice(1));
  const models = found.getAll("model").slice(0, 2);
  const panes = models.map((model, index) => ({
    model,
    begin: found.get(`begin.${index}`) ?? "",
    hide: numbers(found.get(`hide.${index}`)),
    strength: Object.fromEntries(
      (found.get(`strength.${index}`) ?? "").split(",").map((part) => part.split(":"))
        .filter(([word, factor]) => /^\d+$/.test(word) && Number(factor) >= 0 && Number(factor) <= 100)
        .map(([word, factor]) => [word, Number(factor)]),
    ),
  }));
  const reading = found.get("reading") === "input" ? "input" : "output";
  return { text: found.get("text") ?? "", reading, panes };
}

export function write({ text, reading, panes }) {
  const said = new URLSearchParams();
  for (const { model } of panes) said.append("model", model);
  panes.forEach(({ begin, hide, strength }, index) => {
    if (begin) said.set(`begin.${index}`, begin);
    if (hide.length) said.set(`hide.${index}`, hide.join(","));
    const factors = Object.entries(strength);
    if (factors.length) said.set(`strength.${index}`, factors.map((pair) => pair.join(":")).join(","));
  });
  if (reading === "input") said.set("reading", reading);
  if (text) said.set("text", text);
  history.replaceState(null, "", `#${said}`);
}

function numbers(text) {
  return (text ?? "").split(",").filter((part) => /^\d+$/.test(part)).map(Number);
}
