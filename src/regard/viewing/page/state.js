// What is being looked at, in the address so that a link brings it back.

export const SCALES = ["linear", "log", "row"];
export const VIEWS = ["overview", "map", "links", "text"];
export const THEMES = ["system", "light", "dark"];

export function initial(about) {
  const single = about.tracks.length === 1 && about.tracks[0].heads === 1;
  const pooling = about.tracks[0].shape[0] === 1;
  return {
    track: 0, head: "mean", view: single ? (pooling ? "text" : "map") : "overview",
    scale: "linear", pool: "max", hideSpecial: false, words: false, query: 0, key: null,
    find: "", theme: "system", x: null, y: null, zoom: null,
  };
}

export function toHash(state, about) {
  const usual = initial(about);
  const changed = Object.entries(state).filter(([name, value]) => value !== usual[name] && value !== null);
  return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
}

// Anybody can write an address, so every value is checked against what this record has.
export function fromHash(hash, about) {
  const state = initial(about);
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name, count) => {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isInteger(value) && value >= 0 && value < count) state[name] = value;
  };
  const one = (name, among) => {
    if (among.includes(given.get(name))) state[name] = given.get(name);
  };
  whole("track", about.tracks.length);
  const track = about.tracks[state.track];
  whole("head", track.heads);
  one("head", ["mean", "max"]);
  whole("query", track.shape[0]);
  whole("key", track.shape[1]);
  one("view", VIEWS);
  one("scale", SCALES);
  one("pool", ["max", "mean"]);
  one("theme", THEMES);
  for (const name of ["hideSpecial", "words"]) state[name] = given.get(name) === "true";
  for (const name of ["x", "y", "zoom"]) {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isFinite(value)) state[name] = value;
  }
  state.find = (given.get("find") ?? "").slice(0, 200);
  return state;
}
