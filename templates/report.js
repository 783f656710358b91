"use strict";
(() => {
  const table = document.getElementById("risky");
  if (!table) return;
  const samples = Array.from(table.tBodies);
  const filters = document.getElementById("filters");
  const shown = document.getElementById("shown");
  filters.hidden = false;

  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const other of filters.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    for (const body of samples) body.hidden = button.dataset.show !== "" && body.dataset[button.dataset.by] !== button.dataset.show;
    shown.textContent = samples.filter((body) => !body.hidden).length + " of " + samples.length;
  });

  const value = (body, key) => (key === "quadrant" ? body.dataset.quadrant : Number.parseFloat(body.dataset[key]));
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (Number.isNaN(a) ? -1 : a) - (Number.isNaN(b) ? -1 : b));
  for (const head of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (head.dataset.sort === "rank" && !head.hasAttribute("aria-sort"));
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = head.dataset.sort;
      samples.sort((a, b) => (up ? 1 : -1) * compare(value(a, key), value(b, key)));
      table.append(...samples);
    });
  }
})();
