// Usage over time as SVG: the level in steps, its limit, the included quantity and what is billable, and as a table.

import { amount, bound, draw, exactMoment, make, time } from "./dom.js";

const HEIGHT = 220;
const MARGIN = { top: 14, right: 12, bottom: 26, left: 56 };
const BOUNDS = ["included", "limit"];
const MAX_RATIO = 4; // a limit further above the usage is named and not drawn, or the usage would be a flat line

/** Return the usage of a feature as a figure: legend, chart, table. */
export function usageFigure(feature) {
  const figure = make("figure.usage");
  const holder = make("div.chart");
  const paint = () => holder.replaceChildren(chart(feature, Math.max(240, holder.clientWidth)));
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    paint();
  }).observe(holder);
  const { above } = scaleOf(feature.points);
  const notes = BOUNDS.filter((name) => above[name].length).map((name) => `${name}: ${above[name].map(amount).join(", ")}`);
  const caption = make("figcaption", summary(feature), notes.length ? ` Above the chart: ${notes.join(", ")}.` : "");
  figure.append(caption, legend(feature), holder, table(feature));
  return figure;
}

/** Return the numbers of now as a sentence. */
function summary(feature) {
  const { usage, limit, included, billable } = feature.points.at(-1);
  const parts = [`${amount(usage)} used${limit === null ? ", unlimited" : ` of ${amount(limit)}`}`];
  parts.push(included === null ? "usage is not billed" : `${amount(included)} included, ${amount(billable)} billable`);
  const resets = feature.points.filter(isReset).length;
  if (resets) parts.push(`${resets} new billing period${resets > 1 ? "s" : ""}`);
  return `${feature.name}: ${parts.join("; ")}.`;
}

const isReset = (point) => point.usage < point.before;

/** Return the largest value of the chart, and by bound whether it is drawn, and its values above the chart. */
function scaleOf(points) {
  const used = Math.max(...points.map((point) => Math.max(point.usage, point.before)));
  const isDrawn = {};
  const above = {};
  let top = used;
  for (const name of BOUNDS) {
    const values = [...new Set(points.map((point) => point[name]))].filter((value) => value !== null);
    const drawn = values.filter((value) => used === 0 || value <= used * MAX_RATIO);
    isDrawn[name] = drawn.length > 0;
    above[name] = values.filter((value) => !drawn.includes(value));
    top = Math.max(top, ...drawn);
  }
  return { isDrawn, above, top: rounded(top || 1) };
}

/** Return the next number that makes good marks on an axis: 1, 2, 4, 5, 6, 8 or 10 times a power of ten. */
function rounded(top) {
  const power = 10 ** Math.floor(Math.log10(top));
  return power * [1, 2, 4, 5, 6, 8, 10].find((step) => top <= step * power * 1.000001);
}

function chart(feature, width) {
  const points = feature.points;
  const scale = scaleOf(points);
  const { top } = scale;
  const [start, end] = [Date.parse(points[0].at), Date.parse(points.at(-1).at)];
  const right = width - MARGIN.right;
  const x = (at) => MARGIN.left + (end > start ? (Date.parse(at) - start) / (end - start) : 0) * (right - MARGIN.left);
  const y = (value) => HEIGHT - MARGIN.bottom - (Math.min(value, top) / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  // Each point holds until the next one.
  const steps = points.map((point, place) => ({ ...point, from: x(point.at), to: place + 1 < points.length ? x(points[place + 1].at) : right }));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `Usage over time. ${summary(feature)} The table below has the numbers.` });
  svg.append(...axes(points, scale.top, x, y, width));
  for (const step of steps.filter((one) => one.billable > 0 && one.included < top)) {
    svg.append(draw("rect", { class: "billable", x: step.from, width: Math.max(0, step.to - step.from), y: y(step.usage), height: Math.max(0, y(step.included) - y(step.usage)) }));
  }
  for (const name of BOUNDS) if (scale.isDrawn[name]) svg.append(draw("path", { class: name, d: boundPath(steps, name, y, scale.above[name]) }));
  svg.append(draw("path", { class: "level", d: `M${steps[0].from},${y(steps[0].before)}${steps.map((step) => `H${step.from}V${y(step.usage)}H${step.to}`).join("")}` }));
  for (const step of steps.filter(isReset)) svg.append(resetMark(step, right));
  const last = steps.at(-1);
  svg.append(draw("circle", { class: "now", cx: last.to, cy: y(last.usage), r: 3.5 }));
  return svg;
}

/** Return the path of a bound. It has gaps while the usage is unbounded, or the bound is above the chart. */
function boundPath(steps, name, y, above) {
  let path = "";
  let previous = null;
  for (const step of steps) {
    const value = above.includes(step[name]) ? null : step[name];
    if (value !== null) path += `${previous === null ? `M${step.from},` : "V"}${y(value)}H${step.to}`;
    previous = value;
  }
  return path;
}

function axes(points, top, x, y, width) {
  const lines = [0, top / 2, top].flatMap((value) => [
    draw("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
    draw("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, shortNumber(value)),
  ]);
  const at = (point, anchor, place) => draw("text", { x: place, y: HEIGHT - 8, "text-anchor": anchor }, exactMoment(point.at));
  lines.push(at(points.at(-1), "end", width - MARGIN.right));
  if (width > 420 && points[0].at !== points.at(-1).at) lines.push(at(points[0], "start", MARGIN.left));
  return lines;
}

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const shortNumber = (value) => compact.format(value);

function resetMark(step, right) {
  const isLate = step.from > right - 80;
  return draw(
    "g",
    { class: "reset" },
    draw("line", { x1: step.from, x2: step.from, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
    draw("text", { x: step.from + (isLate ? -4 : 4), y: MARGIN.top + 4, "text-anchor": isLate ? "end" : "start" }, "new period"),
  );
}

/** Return the names of the lines that are drawn, each with its line. */
function legend(feature) {
  const scale = scaleOf(feature.points);
  const names = [["level", "used"], scale.isDrawn.limit && ["limit", "limit"], scale.isDrawn.included && ["included", "included"], feature.points.some((point) => point.billable > 0) && ["billable", "billable"]];
  const items = names.filter(Boolean).map(([kind, text]) => {
    const swatch = kind === "billable" ? draw("rect", { class: kind, width: 18, height: 10 }) : draw("path", { class: kind, d: "M0,5H18" });
    return make("li", draw("svg", { width: 18, height: 10, "aria-hidden": "true" }, swatch), text);
  });
  return make("ul.legend", ...items);
}

/** Return the points as a table, the newest first. */
function table(feature) {
  const head = make("tr", ...["Time", "Used", "Limit", "Included", "Billable"].map((name) => Object.assign(make("th", name), { scope: "col" })));
  const row = (point) =>
    make("tr", make("td", time(point.at)), make("td", amount(point.usage), isReset(point) ? " (new period)" : ""), make("td", bound(point.limit)), make("td", bound(point.included)), make("td", amount(point.billable)));
  const caption = make("caption", `Usage of ${feature.name}, newest first`);
  const body = make("tbody", ...[...feature.points].reverse().map(row));
  const scroll = make("div.scroll", make("table", caption, make("thead", head), body));
  scroll.tabIndex = 0; // it can be scrolled by keyboard
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", caption.textContent);
  return make("details.numbers", make("summary", "The numbers as a table"), scroll);
}
