"use strict";
// What all parts of the page share: the data, elements, the tooltip, the theme.
const report = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const redraws = [];
const redraw = () => redraws.forEach((draw) => draw());

// html and svg make elements. Texts are set as text, never as markup.
function html(name, attributes, ...children) {
  return build(document.createElement(name), attributes, children);
}
function svg(name, attributes, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}
function build(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// tip shows a tooltip near a point of the window.
const tip = {
  box: byId("tip"),
  show(text, x, y) {
    this.box.textContent = text;
    this.box.hidden = false;
    const w = this.box.offsetWidth, h = this.box.offsetHeight;
    const left = x + 14 + w > innerWidth ? x - w - 14 : x + 14;
    const top = y + 14 + h > innerHeight ? y - h - 14 : y + 14;
    this.box.style.left = Math.max(4, left) + scrollX + "px";
    this.box.style.top = Math.max(4, top) + scrollY + "px";
  },
  hide() { this.box.hidden = true; },
};

// number writes a measured number to about three digits, as the tables do.
function number(v) {
  if (v === null || v === undefined) return "never";
  const size = Math.abs(v);
  if (v === Math.trunc(v) || size >= 100) return Math.round(v).toLocaleString("en-US");
  if (size >= 10) return v.toFixed(1);
  if (size >= 0.1) return v.toFixed(2);
  return v.toFixed(Math.min(9, 2 - Math.floor(Math.log10(size))));
}
const percent = (share) => number(Math.round(share * 1000) / 10) + " %";

// clock writes a time of the run.
function clock(s) {
  const round = Math.round(s * 1000) / 1000;
  if (round < 120) return round + " s";
  const m = Math.floor(round / 60), rest = Math.round((round - 60 * m) * 1000) / 1000;
  return m < 60 ? m + " min" + (rest ? " " + rest + " s" : "") : Math.floor(m / 60) + " h" + (m % 60 ? " " + (m % 60) + " min" : "");
}

// ticks are round numbers from low to high, about as many as wanted.
function ticks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted), power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw) || power;
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i++) out.push(Math.round(i * step * 1e9) / 1e9 || 0);
  return out;
}
// timeTicks are round times.
function timeTicks(end, wanted) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].find((s) => end / s <= wanted) || 86400 * Math.ceil(end / 86400 / wanted);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => i * step);
}

const theme = {
  dark: matchMedia("(prefers-color-scheme: dark)"),
  get name() { return document.documentElement.dataset.theme || (this.dark.matches ? "dark" : "light"); },
  apply(name) {
    if (name) document.documentElement.dataset.theme = name;
    const now = this.name;
    byId("theme-name").textContent = now;
    byId("theme").setAttribute("aria-pressed", String(now === "dark"));
    redraw();
  },
};
