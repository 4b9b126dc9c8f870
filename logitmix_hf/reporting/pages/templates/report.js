"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const drawn = new Set();

  // Colours are names of CSS variables; light, dark and paper differ in their values alone.
  function coloured(name) {
    const values = getComputedStyle(root);
    return JSON.parse(JSON.stringify(figures[name]), (_, value) => {
      const found = typeof value === "string" && /^var\((--[a-z]+)\)$/.exec(value);
      return found ? values.getPropertyValue(found[1]).trim() : value;
    });
  }

  function draw(place) {
    if (place.dataset.entries) { // a narrow page has one entry of the legend a line, a wide one three
      const entries = Number(place.dataset.entries);
      const more = place.clientWidth < 480 ? entries - Math.ceil(entries / 3) : 0;
      place.style.height = `${Number(place.dataset.height) + 20 * more}px`;
    }
    const figure = coloured(place.id);
    figure.layout.width = place.clientWidth;
    figure.layout.height = place.clientHeight;
    if (!figure.layout.width) return; // folded away: drawn when it is opened
    Plotly.react(place, figure.data, figure.layout, { displayModeBar: false });
    drawn.add(place);
  }

  const places = [...document.querySelectorAll(".plot")];
  const near = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }, { rootMargin: "800px 0px" });
  for (const place of places) near.observe(place);

  function again() {
    for (const place of drawn) draw(place);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let width = root.clientWidth, waiting = 0;
  addEventListener("resize", () => {
    if (root.clientWidth === width || root.classList.contains("paper")) return;
    width = root.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(again, 120);
  });

  // Paper shows everything: what is folded, and what was not yet scrolled to.
  let folded = [];
  function toPaper() {
    if (root.classList.contains("paper")) return;
    root.classList.add("paper");
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
    places.forEach(draw);
  }
  function fromPaper() {
    if (!root.classList.contains("paper")) return;
    root.classList.remove("paper");
    for (const part of folded) part.open = false;
    again();
  }
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", fromPaper);
  matchMedia("print").addEventListener("change", (media) => (media.matches ? toPaper() : fromPaper()));

  function sort(head) {
    const table = head.closest("table");
    const heads = [...head.parentElement.children];
    const column = heads.indexOf(head);
    const now = head.getAttribute("aria-sort");
    const way = now ? (now === "ascending" ? "descending" : "ascending") : head.dataset.first;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way);
    const number = head.classList.contains("number");
    const sign = way === "ascending" ? 1 : -1;
    const value = (row) => row.children[column].dataset.value;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what is unknown stays last, either way
      return sign * (number ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true }));
    });
    body.append(...rows);
  }
  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => sort(button.parentElement));
  }
})();
