"use strict";
// Sort by a click on a heading; a second click reverses the order. Empty cells stay last.
for (const heading of document.querySelectorAll("thead th")) {
  heading.querySelector("button").addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = heading.closest("table").tBodies[0];
    const value = (row) => row.cells[heading.cellIndex].dataset.v;
    const order = (one, two) => {
      const a = value(one), b = value(two);
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      const numeric = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
      return (numeric ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
    };
    body.append(...[...body.rows].sort(order));
  });
}
// The tooltip of a lane shows the event nearest to the pointer, else the area under it, else the time.
const tip = document.getElementById("tip");
const NEAR = 5; // pixels
const tips = new WeakMap();
const eventsOf = (track) => {
  if (!tips.has(track)) tips.set(track, JSON.parse(track.dataset.tips));
  return tips.get(track);
};
const tooltipAt = (track, x, target) => {
  const box = track.getBoundingClientRect();
  const { begin, from, length } = track.dataset;
  const perPixel = length / box.width;
  const at = +from + (x - box.left) * perPixel - begin;
  const [best] = eventsOf(track).reduce((found, event) => {
    const away = Math.abs(event[0] - at);
    return away < found[1] ? [event, away] : found;
  }, [null, NEAR * perPixel]);
  if (best) return `${best[0].toFixed(2)} s: ${best[1]}`;
  const area = target.closest("[data-title]");
  if (area) return area.dataset.title;
  return at >= 0 ? `${at.toFixed(2)} s after the start of the call` : "";
};
for (const track of document.querySelectorAll(".track")) {
  // The tooltips of the browser would cover this one.
  for (const area of track.querySelectorAll("[title]")) {
    area.dataset.title = area.title;
    area.removeAttribute("title");
  }
  track.addEventListener("pointermove", (event) => {
    const text = tooltipAt(track, event.clientX, event.target);
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });
  track.addEventListener("pointerleave", () => { tip.hidden = true; });
}
