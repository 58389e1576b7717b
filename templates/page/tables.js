// The document's tables: sorted by their heads, filtered where they are long.
const ORDERS = { number: ["descending", "ascending", "none"], label: ["ascending", "descending", "none"] };
const LONG = 12;

// The order that follows on the one shown; the third click brings the first order back.
function nextOrder(head) {
  const orders = head.classList.contains("number") ? ORDERS.number : ORDERS.label;
  return orders[(orders.indexOf(head.getAttribute("aria-sort") || "none") + 1) % 3];
}
function markOrder(heads, head, order) {
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  if (order !== "none") head.setAttribute("aria-sort", order);
}
// Numbers by their exact value, texts as people sort them; what is missing comes last in either order.
function comparer(order, key) {
  const sign = order === "ascending" ? 1 : -1;
  return (a, b) => {
    const x = key(a), y = key(b);
    const lacksX = x === null || Number.isNaN(x), lacksY = y === null || Number.isNaN(y);
    if (lacksX || lacksY) return lacksX - lacksY;
    return sign * (typeof x === "string" ? collator.compare(x, y) : x - y);
  };
}
const collator = new Intl.Collator("en", { numeric: true });
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const order = nextOrder(head);
    const numeric = head.classList.contains("number");
    const key = ({ cells }) => (numeric ? parseFloat(cells[column].dataset.value) : cells[column].textContent.trim());
    markOrder(heads, head, order);
    table.classList.toggle("sorted", order !== "none");
    body.append(...(order === "none" ? original : [...original].sort(comparer(order, key))));
  }));
}
function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= LONG) return;
  const shown = el("output", {});
  const input = el("input", { type: "search", autocomplete: "off", oninput: () => {
    const words = wordsOf(input.value);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    shown.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  } });
  const tools = el("div", { class: "tools" }, el("label", {}, el("span", {}, "Filter"), input), shown);
  table.closest(".scroll").before(tools);
}
function startTables() {
  for (const table of document.querySelectorAll("main figure.table table")) {
    sortable(table);
    filterable(table);
  }
}
