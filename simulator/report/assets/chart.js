"use strict";
// Line charts as SVG: steps for distributions, lines with whiskers for sweeps.
const charts = (() => {
  const margin = { left: 58, right: 16, top: 18, bottom: 42 }, tall = 290;
  const dashes = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2"];

  // scale maps values to places; on a logarithmic one what is not above 0 has no place.
  function scale(axis, values, from, to) {
    if (axis.categories) {
      const n = axis.categories.length, step = (to - from) / n;
      return { place: (v) => from + step * (v + .5), ticks: axis.categories.map((text, i) => [i, text]) };
    }
    const usable = values.filter((v) => v !== null && isFinite(v) && (!axis.log || v > 0));
    let low = Math.min(...usable), high = Math.max(...usable);
    if (!usable.length) { low = axis.log ? 1 : 0; high = axis.log ? 10 : 1; }
    if (axis.percent) { low = 0; high = 1; }
    if (axis.log) {
      const log = logScale(low, high, from, to);
      return axis.ticks ? { ...log, ticks: axis.ticks.map((t) => [t, number(t)]) } : log;
    }
    low = Math.min(0, low);
    if (high <= low) high = low + 1;
    const list = ticks(low, high, Math.max(2, Math.abs(to - from) / (from > to ? 45 : 75)));
    if (!axis.percent) high = Math.max(high * 1.03, list[list.length - 1]);
    return { place: (v) => from + (to - from) * (v - low) / (high - low), ticks: list.map((t) => [t, axis.percent ? number(t * 100) + " %" : number(t)]) };
  }

  function logScale(low, high, from, to) {
    if (high <= low) { low /= 2; high *= 2; }
    const a = Math.log10(low) - .02, b = Math.log10(high) + .04, wide = Math.abs(to - from) / (b - a);
    const list = [];
    for (let e = Math.floor(a); e <= b; e++) for (const f of wide > 130 ? [1, 2, 5] : wide > 60 ? [1, 3] : [1]) {
      const v = f * 10 ** e;
      if (Math.log10(v) >= a && Math.log10(v) <= b) list.push([v, number(v)]);
    }
    return { place: (v) => v > 0 ? from + (to - from) * (Math.log10(v) - a) / (b - a) : NaN, ticks: list };
  }

  function path(line, x, y, step) {
    let d = "", last = null;
    for (const p of line.points) {
      const px = x.place(p[0]), py = p[1] === null ? NaN : y.place(p[1]);
      if (!isFinite(px) || !isFinite(py)) { last = null; continue; }
      if (step && !d) d = "M" + px.toFixed(1) + " " + y.place(0).toFixed(1);
      d += !d || (!step && !last) ? "M" + px.toFixed(1) + " " + py.toFixed(1) : step ? "H" + px.toFixed(1) + "V" + py.toFixed(1) : "L" + px.toFixed(1) + " " + py.toFixed(1);
      last = p;
    }
    return d;
  }

  const shapes = [
    (x, y) => svg("circle", { cx: x, cy: y, r: 3.6 }),
    (x, y) => svg("rect", { x: x - 3.3, y: y - 3.3, width: 6.6, height: 6.6 }),
    (x, y) => svg("path", { d: `M${x} ${y - 4.4}l4.2 7.4h-8.4z` }),
    (x, y) => svg("path", { d: `M${x} ${y - 4.6}l4.6 4.6l-4.6 4.6l-4.6 -4.6z` }),
  ];
  const style = (line, i) => ({ tone: `var(--s${i % 8})`, dash: line.reference ? dashes[2 + i % 2] : line.step ? dashes[i % dashes.length] : "" });

  function draw(figure, spec, logX, logY) {
    const width = Math.max(280, figure.clientWidth || 600);
    const xAxis = { ...spec.x, log: logX }, yAxis = { ...spec.y, log: logY };
    const xs = spec.lines.flatMap((l) => l.points.map((p) => p[0])), ys = spec.lines.flatMap((l) => l.points.flatMap((p) => p.slice(1)));
    const x = scale(xAxis, xs, margin.left, width - margin.right), y = scale(yAxis, ys, tall - margin.bottom, margin.top);
    const root = svg("svg", { viewBox: `0 0 ${width} ${tall}`, height: tall, role: "img", tabindex: "0", "aria-label": spec.title + ". The figures are in the tables of this page. Arrow keys move along the lines." });
    drawFrame(root, spec, x, y, width);
    spec.lines.forEach((line, i) => drawLine(root, line, style(line, i), shapes[i % shapes.length], x, y, width, spec.x.categories ? (i - (spec.lines.length - 1) / 2) * Math.min(9, 60 / spec.lines.length) : 0));
    (spec.marks || []).forEach((m, i) => {
      const px = x.place(m.x);
      if (!isFinite(px)) return;
      const right = px > width - 110;
      root.append(svg("line", { x1: px, x2: px, y1: margin.top, y2: tall - margin.bottom, class: "markline" }));
      root.append(svg("text", { x: px + (right ? -5 : 5), y: tall - margin.bottom - 9 - 15 * i, class: "marktext", "text-anchor": right ? "end" : "start" }, m.text));
    });
    pointer(root, spec, x, y, width);
    return root;
  }

  function drawFrame(root, spec, x, y, width) {
    const bottom = tall - margin.bottom;
    for (const [v, text] of y.ticks) {
      root.append(svg("line", { x1: margin.left, x2: width - margin.right, y1: y.place(v), y2: y.place(v), class: "gridline" }));
      root.append(svg("text", { x: margin.left - 8, y: y.place(v) + 4, "text-anchor": "end" }, text));
    }
    root.append(svg("line", { x1: margin.left, x2: width - margin.right, y1: bottom, y2: bottom, class: "axisline" }));
    for (const [v, text] of x.ticks) {
      root.append(svg("line", { x1: x.place(v), x2: x.place(v), y1: bottom, y2: bottom + 4, class: "axisline" }));
      root.append(svg("text", { x: x.place(v), y: bottom + 17, "text-anchor": "middle" }, text.length > 14 ? text.slice(0, 13) + "…" : text));
    }
    root.append(svg("text", { x: (margin.left + width - margin.right) / 2, y: tall - 6, "text-anchor": "middle" }, spec.x.label));
    root.append(svg("text", { x: margin.left, y: 10, "text-anchor": "start" }, spec.y.label));
  }

  function drawLine(root, line, { tone, dash }, shape, x, y, width, aside) {
    root.append(svg("path", { d: path(line, { place: (v) => x.place(v) + aside }, y, line.step), fill: "none", stroke: tone, "stroke-width": line.reference ? 1.6 : 2.1, "stroke-dasharray": dash, "stroke-linejoin": "round", "data-line": line.name }));
    if (line.step) {
      const last = line.points[line.points.length - 1];
      if (last) root.append(svg("line", { x1: x.place(last[0]), x2: width - margin.right, y1: y.place(last[1]), y2: y.place(last[1]), stroke: tone, "stroke-width": 1, "stroke-dasharray": "1 4" }));
      return;
    }
    for (const [at, value, low, high] of line.points) {
      const px = x.place(at) + aside;
      if (value === null || !isFinite(y.place(value))) continue;
      if (low !== undefined) {
        const top = high === null ? margin.top : Math.max(margin.top, y.place(high));
        root.append(svg("line", { x1: px, x2: px, y1: isFinite(y.place(low)) ? y.place(low) : tall - margin.bottom, y2: top, stroke: tone, "stroke-width": 1.2, opacity: .55, "stroke-dasharray": high === null ? "2 3" : "" }));
      }
      const dot = shape(px, y.place(value));
      dot.setAttribute("fill", line.reference ? "var(--surface)" : tone);
      dot.setAttribute("stroke", tone);
      dot.setAttribute("stroke-width", 1.5);
      root.append(dot);
    }
  }

  // value is what a line has at a place: a staircase always something, a line only at its points.
  function value(line, at) {
    if (!line.step) return line.points.find((p) => p[0] === at);
    let found = null;
    for (const p of line.points) if (p[0] <= at) found = p;
    return found || [at, 0];
  }

  function pointer(root, spec, x, y, width) {
    const stops = [...new Set(spec.lines.flatMap((l) => l.points.map((p) => p[0])))].filter((v) => isFinite(x.place(v))).sort((a, b) => a - b);
    if (!stops.length) return;
    const line = svg("line", { y1: margin.top, y2: tall - margin.bottom, class: "cursor", visibility: "hidden" });
    let now = -1;
    root.append(line);
    const show = (i, px, py) => {
      now = i;
      const at = stops[i], place = x.place(at);
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
      line.setAttribute("visibility", "visible");
      const head = spec.x.categories ? spec.x.label + " " + spec.x.categories[at] : number(at) + " " + spec.x.label;
      const rest = spec.lines.map((l) => [l, value(l, at)]).filter(([, p]) => p).map(([l, p]) => l.name + ": " + (spec.y.percent ? percent(p[1]) : number(p[1])) + (p.length > 2 ? " [" + number(p[2]) + ", " + (p[3] === null ? "?" : number(p[3])) + "]" : ""));
      const r = root.getBoundingClientRect();
      tip.show([head, ...rest].join("\n"), px ?? r.left + place * r.width / width, py ?? r.top + r.height / 2);
    };
    const hide = () => { line.setAttribute("visibility", "hidden"); tip.hide(); };
    root.addEventListener("pointermove", (e) => {
      const r = root.getBoundingClientRect(), px = (e.clientX - r.left) * width / r.width;
      let best = 0;
      stops.forEach((v, i) => { if (Math.abs(x.place(v) - px) < Math.abs(x.place(stops[best]) - px)) best = i; });
      show(best, e.clientX, e.clientY);
    });
    root.addEventListener("pointerleave", hide);
    root.addEventListener("blur", hide);
    root.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (!by) return;
      e.preventDefault();
      show(Math.min(stops.length - 1, Math.max(0, now + by)));
    });
  }

  function key(spec) {
    return html("ul", { class: "key" }, ...spec.lines.map((line, i) => {
      const { tone, dash } = style(line, i), sign = svg("svg", { width: 30, height: 10, "aria-hidden": "true" });
      sign.append(svg("line", { x1: 0, x2: 30, y1: 5, y2: 5, stroke: tone, "stroke-width": 2.2, "stroke-dasharray": dash }));
      if (!line.step) {
        const dot = shapes[i % shapes.length](15, 5);
        dot.setAttribute("fill", line.reference ? "var(--surface)" : tone);
        dot.setAttribute("stroke", tone);
        sign.append(dot);
      }
      sign.style.width = "30px";
      return html("li", {}, sign, line.name);
    }));
  }

  const known = {};
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const name = figure.dataset.chart, spec = (report.charts || {})[name];
    if (!spec) continue;
    let logX = !!spec.x.log, logY = !!spec.y.log;
    const axis = spec.x.toggle ? "x" : spec.y.toggle ? "y" : "";
    const caption = html("figcaption", {}, html("span", {}, spec.title)), place = html("div", {});
    if (axis) {
      const button = html("button", { type: "button" });
      const name = () => { button.textContent = (axis === "x" ? logX : logY) ? "linear scale" : "log scale"; };
      button.addEventListener("click", () => { if (axis === "x") logX = !logX; else logY = !logY; name(); paint(); });
      name();
      caption.append(button);
    }
    const paint = () => place.replaceChildren(draw(figure, spec, logX, logY));
    figure.replaceChildren(caption, place, ...(spec.lines.length > 1 || spec.lines[0]?.name !== spec.x.label ? [key(spec)] : []));
    paint();
    redraws.push(paint);
    known[name] = spec;
  }
  return { names: () => Object.keys(known) };
})();
