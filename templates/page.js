"use strict";
(() => {
  // Sorting: numbers by their exact value, missing values last, and the first order back on the third click.
  for (const table of document.querySelectorAll("main table")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const orders = numeric ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
        const order = orders[(orders.indexOf(head.getAttribute("aria-sort") || "none") + 1) % 3];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        let rows = [...original];
        if (order !== "none") {
          head.setAttribute("aria-sort", order);
          const sign = order === "ascending" ? 1 : -1;
          const key = (row) => {
            const cell = row.cells[column];
            return numeric ? parseFloat(cell.dataset.value) : cell.textContent.trim();
          };
          rows.sort((a, b) => {
            const x = key(a), y = key(b);
            if (!numeric) return sign * x.localeCompare(y);
            if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
            return sign * (x - y);
          });
        }
        table.classList.toggle("sorted", order !== "none");
        body.append(...rows);
      });
    });
  }

  const filter = document.getElementById("filter");
  const rows = [...document.querySelectorAll("#cell-table tbody tr")];
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} cells`;
  };
  filter.addEventListener("input", show);
  show();

  // A cell's details are shown by :target alone; the keyboard needs a little more.
  let opener = null;
  const aside = () => document.querySelector("aside.cell:target");
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#cell-"]');
    if (link) opener = link;
  });
  window.addEventListener("hashchange", () => {
    const open = aside();
    if (open) open.focus({ preventScroll: true });
    else if (opener) { opener.focus({ preventScroll: true }); opener = null; }
    const details = document.querySelector("details:target");
    if (details) details.open = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && aside()) {
      const y = window.scrollY;
      location.hash = "#_";
      window.scrollTo(0, y);
    }
  });

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
})();
