"use strict";
(() => {
  const status = document.getElementById("status");

  // Sort a table's rows by one column; cells without a value stay last in both directions.
  function sort(heading) {
    const table = heading.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const key = (row) => {
      const cell = row.children[column];
      if (!("v" in cell.dataset)) return null;
      return cell.classList.contains("n") ? Number(cell.dataset.v) : cell.dataset.v;
    };
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      const order = typeof a.key === "number" ? a.key - b.key : String(a.key).localeCompare(String(b.key));
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    status.textContent = `Sorted by ${heading.textContent.trim()}, ${up ? "ascending" : "descending"}.`;
  }
  for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sort(button.parentNode));

  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { toggle.textContent = dark() ? "Light mode" : "Dark mode"; };
  toggle.hidden = false;
  toggle.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // One metric at a time: figures from the start, table rows only after the reader picks a metric.
  const picks = [...document.querySelectorAll("[data-pick]")];
  const show = (metric, what) => { for (const one of document.querySelectorAll(`${what}[data-metric]`)) one.hidden = metric !== "" && one.dataset.metric !== metric; };
  for (const pick of picks) {
    pick.closest(".pick").hidden = false;
    pick.addEventListener("change", () => {
      for (const other of picks) other.value = pick.value;
      show(pick.value, "figure");
      show(pick.value, "tr");
      status.textContent = `Showing ${pick.selectedOptions[0].textContent} in figures and tables.`;
    });
  }
  if (picks.length) show(picks[0].value, "figure");
  // A link to a figure of another metric picks that metric.
  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.hidden || !picks.length) return;
    picks[0].value = target.dataset.metric;
    picks[0].dispatchEvent(new Event("change"));
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();

  // A printed page cannot be unfolded, and it has no metric picker.
  let folded = [], unseen = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    unseen = [...document.querySelectorAll("[data-metric][hidden]")];
    for (const d of folded) d.open = true;
    for (const one of unseen) one.hidden = false;
  });
  addEventListener("afterprint", () => {
    for (const d of folded) d.open = false;
    for (const one of unseen) one.hidden = true;
  });
})();
