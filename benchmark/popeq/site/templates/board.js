"use strict";
// Sorts, filters and searches the board's rows. Without this file the table is all there, by the mean.
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const table = document.getElementById("board");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const entries = data.map((values, i) => ({ values, row: rows[i], i }));
  const lines = rows.slice(data.length); // reference lines stay last, whatever the order
  const controls = document.getElementById("controls");
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const selects = Array.from(controls.querySelectorAll("select"));
  let sorted = { key: "mean", up: true };

  function compare(a, b) {
    const x = a.values[sorted.key], y = b.values[sorted.key];
    if (x === y) return a.i - b.i;
    if (x === null) return 1; // what has no value is last in either direction
    if (y === null) return -1;
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return sorted.up ? order : -order;
  }

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { values, row } of entries) {
      const fits = words.every((word) => values.text.includes(word)) &&
        selects.every((select) => !select.value || String(values[select.dataset.key]) === select.value);
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    for (const { row } of [...entries].sort(compare)) body.append(row);
    for (const row of lines) body.append(row);
    count.textContent = shown === entries.length ? `${shown} methods` : `${shown} of ${entries.length} methods`;
  }

  for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    const picture = head.querySelector("svg");
    for (const node of Array.from(head.childNodes)) if (node !== picture) button.append(node);
    head.prepend(button);
    button.addEventListener("click", () => {
      const key = head.dataset.sort;
      sorted = { key, up: sorted.key === key ? !sorted.up : true };
      for (const other of table.tHead.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      show();
    });
  }
  table.tHead.querySelector('th[data-sort="mean"]').setAttribute("aria-sort", "ascending");
  search.addEventListener("input", show);
  for (const select of selects) select.addEventListener("change", show);
  controls.addEventListener("reset", () => setTimeout(show));
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  show();
})();
