"use strict";
// The heatmap: one canvas for the grid, drawn from runs of equal cells.
const heat = (() => {
  if (!report.heat || !byId("heat-grid")) return null;
  const gutter = 56, right = 2;
  const scales = {
    light: { empty: "#eff0f2", stops: ["#fbd3ae", "#fba66b", "#ef6a3a", "#c4281b", "#6f0a0a"] },
    dark: { empty: "#232831", stops: ["#4a2a78", "#93308a", "#d84a6c", "#fb9a50", "#fdf2ae"] },
  };
  const kinds = { partition: "--band-partition", link: "--band-link", pause: "--band-pause", stall: "--band-stall", stopped: "--band-stopped" };
  const words = { pause: "frozen", stall: "reading late", stopped: "stopped" };
  const kindColor = (kind) => color(Object.hasOwn(kinds, kind) ? kinds[kind] : "--dim");
  const canvas = byId("heat-grid"), table = byId("heat-table").tBodies[0];
  let view, rows, lines, own, width, height, cursor = null;

  // natural orders n2 before n10.
  const natural = new Intl.Collator("en", { numeric: true }).compare;

  // tint is the colour of a share, on a scale whose lightness only rises or falls.
  function tint(share) {
    const scale = scales[theme.name], stops = scale.stops;
    if (share <= 0) return scale.empty;
    const at = Math.min(1, share) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at)), f = at - i;
    const part = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
    return "rgb(" + [0, 1, 2].map((k) => Math.round(part(stops[i], k) * (1 - f) + part(stops[i + 1], k) * f)).join(", ") + ")";
  }

  function stepAt(steps, bucket) {
    let low = 0, high = steps.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (steps[mid][0] <= bucket) low = mid + 1; else high = mid;
    }
    return low ? steps[low - 1] : [0, 0, 0];
  }

  // load prepares a view: which rows there are, and what happens to each node itself.
  function load(next) {
    view = next;
    lines = new Map(view.rows.map((r) => [r.node, r.steps]));
    own = new Map();
    for (const band of view.bands) for (const node of band.nodes || []) {
      if (!own.has(node)) own.set(node, []);
      own.get(node).push(band);
    }
    const all = Array.from({ length: view.nodes }, (_, i) => "n" + (i + 1));
    const some = new Set([...lines.keys(), ...own.keys()]);
    const few = view.nodes <= 60 || some.size === 0;
    byId("heat-all").parentElement.hidden = few;
    rows = few || byId("heat-all").checked ? [...new Set([...all, ...some])] : [...some];
    rows.sort(natural);
    cursor = null;
  }

  const rowHeight = () => rows.length <= 32 ? 18 : rows.length <= 64 ? 10 : rows.length <= 160 ? 4 : 2;
  const edge = (bucket) => gutter + Math.round((width - gutter - right) * bucket / view.buckets);
  const xOf = (seconds) => gutter + (width - gutter - right) * Math.min(1, Math.max(0, seconds / (view.buckets * view.bucket)));

  function draw() {
    const scroll = byId("heat-scroll");
    width = Math.max(280, scroll.clientWidth);
    const rh = rowHeight(), gap = rh >= 8 ? 1 : 0, ratio = devicePixelRatio || 1;
    height = rows.length * rh;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    const every = Math.max(1, Math.ceil(13 / rh));
    rows.forEach((node, i) => {
      const y = i * rh;
      g.fillStyle = scales[theme.name].empty;
      g.fillRect(gutter, y, edge(view.buckets) - gutter, rh - gap);
      const steps = lines.get(node) || [];
      steps.forEach(([bucket, held, of], k) => {
        if (!held) return;
        const x = edge(bucket), end = edge(k + 1 < steps.length ? steps[k + 1][0] : view.buckets);
        g.fillStyle = tint(held / of);
        g.fillRect(x, y, end - x, rh - gap);
      });
      if (rh >= 4) for (const band of own.get(node) || []) {
        g.fillStyle = kindColor(band.kind);
        const h = rh >= 8 ? 3 : 1;
        for (const [from, to] of band.spans) g.fillRect(xOf(from), y + rh - gap - h, Math.max(1, xOf(to) - xOf(from)), h);
      }
      if (i % every === 0) {
        g.fillStyle = color("--dim");
        g.textAlign = "right";
        g.fillText(node.length > 8 ? node.slice(0, 7) + "…" : node, gutter - 7, y + Math.max(rh, 11) / 2, gutter - 8);
      }
    });
    if (cursor) {
      g.strokeStyle = color("--accent");
      g.lineWidth = 2;
      g.strokeRect(edge(cursor.bucket) - 1, cursor.row * rh - 1, edge(cursor.bucket + 1) - edge(cursor.bucket) + 2, rh + 1);
    }
    drawBands();
    drawAxis();
    drawLegend();
  }

  // lanes puts each band into a line; when there are too many, one line a kind.
  function lanes() {
    if (view.bands.length <= 8) return view.bands.map((b) => ({ kind: b.kind, text: b.text, spans: b.spans }));
    const merged = new Map();
    for (const b of view.bands) {
      const whole = !b.nodes || !b.nodes.length;
      const key = whole ? "\0" + merged.size : b.kind;
      if (!merged.has(key)) merged.set(key, { kind: b.kind, text: b.text, spans: [], count: 0 });
      const lane = merged.get(key);
      lane.spans.push(...b.spans);
      if (++lane.count > 1) lane.text = b.kind + ": " + lane.count + " nodes, see their rows";
    }
    const list = [...merged.values()];
    return list.length <= 14 ? list : [...list.slice(0, 13), { kind: "", text: (list.length - 13) + " more, see the text below", spans: list.slice(13).flatMap((l) => l.spans) }];
  }

  function drawBands() {
    const list = lanes(), h = 19, total = list.length * h + (list.length ? 5 : 0);
    const root = svg("svg", { width, height: total, role: "list", "aria-label": "Faults" });
    list.forEach((lane, i) => {
      const when = lane.spans.length > 4 ? lane.spans.length + " times from " + clock(lane.spans[0][0]) + " to " + clock(Math.max(...lane.spans.map((s) => s[1])))
        : lane.spans.map(([from, to]) => clock(from) + " to " + clock(to)).join(", ");
      const g = svg("g", { class: "lane", role: "listitem", tabindex: "0", "data-kind": lane.kind, "data-from": lane.spans[0][0], "data-to": lane.spans[lane.spans.length - 1][1], "aria-label": lane.text + ": " + when });
      const tone = kindColor(lane.kind), first = xOf(lane.spans[0][0]);
      for (const [from, to] of lane.spans) {
        g.append(svg("rect", { x: xOf(from), y: i * h + 1, width: Math.max(1.5, xOf(to) - xOf(from)), height: h - 3, rx: 3, fill: tone, "fill-opacity": .26 }));
        g.append(svg("rect", { x: xOf(from), y: i * h + 1, width: Math.min(2.5, Math.max(1.5, xOf(to) - xOf(from))), height: h - 3, rx: 1, fill: tone }));
      }
      const beyond = first > gutter + (width - gutter) * .62;
      const most = Math.floor((beyond ? first - gutter : width - first) / 6.1) - 2;
      g.append(svg("text", { x: beyond ? first - 6 : first + 7, y: i * h + 13.5, "text-anchor": beyond ? "end" : "start" }, lane.text.length > most ? lane.text.slice(0, Math.max(1, most - 1)) + "…" : lane.text));
      const show = (x, y) => tip.show(lane.text + "\n" + when, x, y);
      g.addEventListener("pointermove", (e) => show(e.clientX, e.clientY));
      g.addEventListener("pointerleave", () => tip.hide());
      g.addEventListener("focus", () => { const r = g.getBoundingClientRect(); show(r.left, r.bottom); });
      g.addEventListener("blur", () => tip.hide());
      root.append(g);
    });
    byId("heat-bands").replaceChildren(root);
  }

  function drawAxis() {
    const end = view.buckets * view.bucket, root = svg("svg", { width, height: 22, "aria-hidden": "true" });
    for (const t of timeTicks(end, Math.max(3, width / 95))) {
      root.append(svg("line", { x1: xOf(t), x2: xOf(t), y1: 0, y2: 5, class: "axisline" }));
      root.append(svg("text", { x: xOf(t), y: 17, "text-anchor": t === 0 ? "start" : xOf(t) > width - 24 ? "end" : "middle" }, clock(t)));
    }
    byId("heat-axis").replaceChildren(root);
  }

  function drawLegend() {
    const bar = html("canvas", { width: 96, height: 9, "aria-hidden": "true" }), g = bar.getContext("2d");
    for (let x = 0; x < 96; x++) { g.fillStyle = tint((x + 1) / 96); g.fillRect(x, 0, 1, 9); }
    const parts = [html("span", {}, "nobody", swatch(scales[theme.name].empty, 9)), html("span", {}, "few", bar, "all")];
    for (const kind of new Set([...own.values()].flat().map((b) => b.kind))) parts.push(html("span", {}, swatch(kindColor(kind), 4), words[kind] || kind));
    byId("heat-legend").replaceChildren(...parts);
  }
  function swatch(tone, h) {
    const i = html("i", {});
    i.style.background = tone;
    i.style.height = h + "px";
    return i;
  }

  // cell is what is known about one cell, and where it is on the canvas.
  function cell(node, bucket) {
    const row = rows.indexOf(node);
    if (row < 0 || bucket < 0 || bucket >= view.buckets) return null;
    const [, held, of] = stepAt(lines.get(node) || [], bucket);
    const from = bucket * view.bucket, to = from + view.bucket;
    const condition = (own.get(node) || []).filter((b) => b.spans.some((s) => s[0] < to && s[1] > from)).map((b) => b.kind);
    return { node, bucket, held, of, share: held ? held / of : 0, mean: !!view.mean, from, to, condition, color: tint(held ? held / of : 0),
      x: edge(bucket), y: row * rowHeight(), width: edge(bucket + 1) - edge(bucket), height: rowHeight() };
  }

  function describe(c) {
    let text = c.node + ", " + clock(c.from) + " to " + clock(c.to) + "\n";
    if (!c.held) text += "held failed by nobody";
    else if (c.mean) text += "held failed by " + percent(c.share) + " of the others, in the mean";
    else text += "held failed by " + c.held + " of " + c.of + " others (" + percent(c.share) + ")";
    if (c.condition.length) text += "\n" + [...new Set(c.condition)].map((k) => words[k] || k).join(", ") + " meanwhile";
    return text;
  }

  function fillTable() {
    const body = [];
    for (const node of rows) {
      const steps = lines.get(node);
      if (!steps) continue;
      let first = -1, buckets = 0, most = 0;
      steps.forEach(([bucket, held, of], k) => {
        if (!held) return;
        if (first < 0) first = bucket;
        buckets += (k + 1 < steps.length ? steps[k + 1][0] : view.buckets) - bucket;
        most = Math.max(most, held / of);
      });
      body.push(html("tr", {}, html("th", { scope: "row" }, node), html("td", { class: "n" }, clock(first * view.bucket)), html("td", { class: "n" }, clock(buckets * view.bucket)), html("td", { class: "n" }, percent(most))));
    }
    table.replaceChildren(...body);
  }

  function show(label) {
    const next = report.heat.views.find((v) => v.label === label || v.seed === label);
    if (!next) return false;
    byId("heat-view").value = String(report.heat.views.indexOf(next));
    load(next);
    draw();
    fillTable();
    return true;
  }

  function at(event) {
    const r = canvas.getBoundingClientRect(), x = event.clientX - r.left, row = Math.floor((event.clientY - r.top) / rowHeight());
    if (x < gutter || row < 0 || row >= rows.length) return null;
    let bucket = Math.min(view.buckets - 1, Math.floor((x - gutter) / (width - gutter - right) * view.buckets));
    if (x < edge(bucket)) bucket--; else if (x >= edge(bucket + 1)) bucket++;
    return cell(rows[row], Math.min(view.buckets - 1, Math.max(0, bucket)));
  }

  function move(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] }[event.key];
    if (!by) return;
    event.preventDefault();
    const from = cursor || { row: 0, bucket: 0 };
    const clamp = (v, most) => Math.min(most, Math.max(0, v));
    cursor = cursor ? { row: clamp(from.row + by[0], rows.length - 1), bucket: clamp(from.bucket + by[1], view.buckets - 1) } : from;
    draw();
    const c = cell(rows[cursor.row], cursor.bucket), r = canvas.getBoundingClientRect();
    tip.show(describe(c), r.left + c.x + c.width, r.top + c.y + c.height);
    byId("heat-live").textContent = describe(c);
  }

  report.heat.views.forEach((v, i) => byId("heat-view").append(html("option", { value: i }, v.label)));
  byId("heat-view").parentElement.hidden = report.heat.views.length < 2;
  byId("heat-view").addEventListener("change", (e) => show(report.heat.views[e.target.value].label));
  byId("heat-all").addEventListener("change", () => { load(view); draw(); fillTable(); });
  canvas.addEventListener("pointermove", (e) => { const c = at(e); if (c) tip.show(describe(c), e.clientX, e.clientY); else tip.hide(); });
  canvas.addEventListener("pointerleave", () => tip.hide());
  canvas.addEventListener("keydown", move);
  canvas.addEventListener("blur", () => { cursor = null; tip.hide(); draw(); });
  document.addEventListener("click", (e) => { const link = e.target.closest("a.seed"); if (link) show(link.dataset.seed); });
  show(report.heat.views[0].label);
  redraws.push(draw);
  return { cell, show, rows: () => rows.slice(), views: () => report.heat.views.map((v) => v.label), view: () => view.label };
})();
