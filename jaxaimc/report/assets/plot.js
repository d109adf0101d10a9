"use strict";
// What all figures share: they are drawn when they come into view, in the colours of the page, and redrawn when asked.
const SYMBOLS = ["circle", "square", "diamond", "triangle-down", "triangle-up", "pentagon"]; // as style.MARKERS
const drawn = new Set();

function figure(dataset, part) {
  const controls = make("div", { class: "controls" });
  const plot = make("div", { class: "plot" });
  const note = make("p", { class: "note", role: "status" });
  const heading = make("h3");
  const whole = make("figure", {}, heading, controls, plot, note);
  const state = part.start(dataset);
  const build = () => {
    const focused = [...controls.querySelectorAll("select, input")].indexOf(document.activeElement);
    controls.replaceChildren(...part.controls(dataset, state, refresh));
    heading.textContent = part.title(state);
    if (focused >= 0) controls.querySelectorAll("select, input")[focused]?.focus();
  };
  const lay = () => {
    const { traces, layout, text, height } = part.draw(dataset, state);
    plot.style.height = `${height || (window.innerWidth < 640 ? 340 : 430)}px`;
    note.textContent = text;
    heading.textContent = part.title(state);
    return { traces, layout };
  };
  const draw = () => {
    const { traces, layout } = lay();
    Plotly.react(plot, traces, { ...base(), ...layout }, {
      responsive: true, displaylogo: false,
      // These alone: Plotly also has buttons that send a chart to others.
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: heading.textContent.replace(/[^\w.-]+/g, "_") },
    });
  };
  const refresh = () => {
    build();
    draw();
  };
  build();
  // With its height before it is drawn: what follows it would jump away under a pointer that is about to click.
  lay();
  waiting.set(whole, () => {
    drawn.add(draw);
    draw();
  });
  watcher.observe(whole);
  return whole;
}

const waiting = new Map();
function drawNow(element) {
  waiting.get(element)?.();
  waiting.delete(element);
  watcher.unobserve(element);
}
const watcher = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => drawNow(entry.target)),
  { rootMargin: "400px" },
);
window.addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawNow));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((draw) => draw()));

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function base() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: colour("ink") },
    margin: { l: 10, r: 10, t: 34, b: 10 },
    hoverlabel: { bgcolor: colour("band"), bordercolor: colour("line"), font: { color: colour("ink") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("faint"), activecolor: colour("ink") },
    hovermode: "closest", dragmode: "zoom",
  };
}

function axis(title, more = {}) {
  return {
    title: { text: plain(title), standoff: 10 }, automargin: true, gridcolor: colour("line"), linecolor: colour("faint"),
    showline: true, zeroline: false, ticks: "outside", tickcolor: colour("faint"), ...more,
  };
}

// Where a logarithmic axis puts zero: one step below the smallest value.
function zeroPlace(values) {
  const positive = [...new Set(values)].filter((value) => value > 0).sort((a, b) => a - b);
  return positive.length > 1 ? positive[0] ** 2 / positive[1] : positive[0] / 10;
}

const canBeLog = (column) => {
  const values = column.values.map(toNumber).filter(Number.isFinite);
  const zeros = column.role === "field" && values.some((value) => value > 0);
  return column.number && values.length > 0 && values.every((value) => value > 0 || (zeros && value === 0));
};

// The axis of a column, and where its values stand on it.
function scale(column, isLog) {
  if (!column.number) return { axis: axis(column.label, { type: "category" }), place: (value) => plain(value) };
  const values = levels(column);
  if (!isLog) return { axis: axis(column.label, column.unit ? { exponentformat: "SI" } : {}), place: (value) => value };
  const low = zeroPlace(values);
  const place = (value) => (value === 0 ? low : value);
  const logs = values.map((value) => Math.log10(place(value)));
  const reach = logs[logs.length - 1] - logs[0] || 1;
  const ticks = { type: "log", exponentformat: column.unit ? "SI" : "power" };
  if (values.length <= 16 && column.role === "field") {
    // The values themselves, as far as there is space between them.
    const chosen = [];
    logs.forEach((log, i) => {
      if (!chosen.length || (log - logs[chosen[chosen.length - 1]]) / reach >= (window.innerWidth < 640 ? 0.12 : 0.055)) chosen.push(i);
    });
    ticks.tickvals = chosen.map((i) => place(values[i]));
    ticks.ticktext = chosen.map((i) => writeShort(values[i], column.unit));
  } else if (reach < 3) ticks.dtick = "D2";
  else ticks.dtick = Math.ceil(reach / 8);
  ticks.range = [logs[0] - 0.04 * reach, logs[logs.length - 1] + 0.04 * reach];
  return { axis: axis(column.label, ticks), place, zero: values.includes(0) };
}

// The house's colours; its blue is too dark for a dark page, which has one of its own.
const BLUE = 4;
const hue = (i) => (i % report.colours.length === BLUE ? colour("accent") : report.colours[i % report.colours.length]);

// Colours of a field: one for each of a few values, a scale for many numbers.
function palette(column) {
  const values = column ? levels(column) : [];
  if (column && column.number && values.length > report.mostColours) return { scale: true };
  const look = new Map(values.map((value, i) => [value, {
    color: hue(i),
    symbol: SYMBOLS[(i + Math.floor(i / report.colours.length)) % SYMBOLS.length],
  }]));
  return { scale: false, of: (value) => look.get(value) || { color: colour("soft"), symbol: "circle" } };
}

const bar = (column) => ({ title: { text: plain(column.label), side: "right" }, exponentformat: column.unit ? "SI" : "power", thickness: 14 });
const fade = (hex, alpha) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${alpha})`;
