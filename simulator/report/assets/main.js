"use strict";
byId("theme").addEventListener("click", () => theme.apply(theme.name === "dark" ? "light" : "dark"));
theme.dark.addEventListener("change", () => theme.apply());
theme.apply();

let drawn = innerWidth;
addEventListener("resize", () => { if (innerWidth !== drawn) { drawn = innerWidth; tip.hide(); redraw(); } });
addEventListener("keydown", (e) => { if (e.key === "Escape") tip.hide(); });

// On paper everything is open and light.
let before = null;
addEventListener("beforeprint", () => {
  before = { theme: document.documentElement.dataset.theme, closed: [...document.querySelectorAll("details:not([open])")] };
  before.closed.forEach((d) => { d.open = true; });
  theme.apply("light");
});
addEventListener("afterprint", () => {
  if (!before) return;
  before.closed.forEach((d) => { d.open = false; });
  if (before.theme) theme.apply(before.theme);
  else { delete document.documentElement.dataset.theme; theme.apply(); }
});

const copy = byId("copy");
if (copy) copy.addEventListener("click", async () => {
  const text = byId("command");
  try {
    await navigator.clipboard.writeText(text.textContent);
    copy.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text);
    copy.textContent = "Selected";
  }
  setTimeout(() => { copy.textContent = "Copy"; }, 2000);
});

// For tests and the curious: what the page shows, read-only.
Object.defineProperty(window, "heartbeatReport", {
  value: Object.freeze({
    cell: (node, bucket) => heat && heat.cell(node, bucket),
    rows: () => heat ? heat.rows() : [],
    views: () => heat ? heat.views() : [],
    view: () => heat ? heat.view() : "",
    show: (label) => !!heat && heat.show(label),
    charts: () => charts.names(),
    theme: () => theme.name,
  }),
});
