// Claims by their verdict, and by words.
function startClaims() {
  const articles = [...document.querySelectorAll(".claim")];
  if (!articles.length) return;
  const outcomes = [...new Set(articles.map((article) => article.dataset.outcome))];
  const hidden = new Set();
  const shown = el("output", {});
  const input = el("input", { type: "search", autocomplete: "off", oninput: () => refresh() });
  const refresh = () => {
    const words = wordsOf(input.value);
    for (const article of articles) {
      const text = article.textContent.toLowerCase();
      article.hidden = hidden.has(article.dataset.outcome) || !words.every((word) => text.includes(word));
    }
    shown.textContent = `${articles.filter((article) => !article.hidden).length} of ${articles.length} claims`;
  };
  const switches = outcomes.map((outcome) => {
    const number = articles.filter((article) => article.dataset.outcome === outcome).length;
    const button = el("button", { type: "button", class: "quiet", "aria-pressed": "true", onclick: () => {
      if (!hidden.delete(outcome)) hidden.add(outcome);
      button.setAttribute("aria-pressed", String(!hidden.has(outcome)));
      refresh();
    } }, `${outcome}: ${number}`);
    return button;
  });
  byId("claim-tools").append(el("label", {}, el("span", {}, "Filter"), input), ...switches, shown);
  refresh();
}
