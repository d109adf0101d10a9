"use strict";
// What all parts of the page share: its data, how elements are made, how numbers are written.
const report = JSON.parse(document.getElementById("data").textContent);
const parts = {}; // each figure's function by its name; filled by the scripts that follow

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// JSON has no NaN and no infinity: in columns of numbers they are texts.
const toNumber = (value) => (value === null ? NaN : Number(value));

function write(value, digits = 5) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (value !== 0 && Number.isFinite(value) && (size < 1e-3 || size >= 1e6)) return String(Number(value.toPrecision(digits)).toExponential()).replace("e+", "e");
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}

// Mean and deviation to the same digit, two digits of the latter.
function writeWith(value, std) {
  if (value === null || !Number.isFinite(std) || !(std > 0)) return write(value) + (std === 0 ? " ± 0" : "");
  const digits = 1 - Math.floor(Math.log10(std));
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6 || digits > 8) return `${write(value)} ± ${write(std, 2)}`;
  return `${value.toFixed(Math.max(0, digits))} ± ${std.toFixed(Math.max(0, digits))}`;
}

const DURATIONS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
function writeDuration(value) {
  const [length, name] = DURATIONS.find(([seconds]) => value >= seconds) || [1, "s"];
  const count = Number((value / length).toPrecision(3));
  return `${count} ${name}${count === 1 || name === "s" ? "" : "s"}`;
}

const PREFIXES = { "-15": "f", "-12": "p", "-9": "n", "-6": "µ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T" };
function writeShort(value, unit) {
  const size = Math.abs(value);
  if (unit === "s" && value >= 1) return writeDuration(value);
  if (!unit || value === 0 || !Number.isFinite(value) || (size >= 0.01 && size < 1e4)) return write(value, 4);
  const exponent = Math.min(12, Math.max(-15, 3 * Math.floor(Math.log10(Math.abs(value)) / 3 + 1e-12)));
  return Number((value / 10 ** exponent).toPrecision(4)) + PREFIXES[exponent];
}

// Plotly takes texts for simple HTML, and what stands between dollar signs for formulas.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("$", "&#36;");

function levels(column) {
  const found = [...new Set(column.values)].filter((value) => value !== null);
  return column.number ? found.filter((value) => Number.isFinite(value)).sort((a, b) => a - b) : found;
}

const byName = (dataset, name) => dataset.columns.find((column) => column.name === name);
const varied = (dataset) => dataset.columns.filter((column) => column.role === "field" && levels(column).length > 1);
const measured = (dataset) => dataset.columns.filter((column) => column.role === "measured");

let made = 0;
function select(label, options, chosen, onChange) {
  if (options.length < 2) return ""; // nothing to choose
  const id = `c${made++}`;
  const element = make("select", { id });
  for (const [value, text] of options) {
    element.append(make("option", { value: String(value), selected: String(value) === String(chosen) }, text));
  }
  element.addEventListener("change", () => onChange(element.value));
  return make("label", { for: id }, label, element);
}

// Whether a column is drawn on a logarithmic axis; nothing to choose for names.
function logCheck(column, chosen, onChange) {
  return column.number ? check(`${column.name} logarithmic`, chosen && canBeLog(column), !canBeLog(column), onChange) : "";
}

function check(label, checked, disabled, onChange) {
  const element = make("input", { type: "checkbox", checked, disabled });
  element.addEventListener("change", () => onChange(element.checked));
  return make("label", { class: "check" }, element, label);
}

// A select for each other field whose values can be held fixed one by one.
function holders(dataset, except, held, redraw) {
  const busy = new Set(except.flatMap((name) => [name, ...((name && byName(dataset, name)?.with) || [])]));
  const found = [];
  for (const column of varied(dataset)) {
    const values = levels(column);
    if (busy.has(column.name) || values.length > report.mostHeld) delete held[column.name];
    else {
      const place = values.indexOf(held[column.name]);
      const options = [["", "all"], ...values.map((value, i) => [i, column.number ? writeShort(value, column.unit) : String(value)])];
      found.push(
        select(`${column.label} held at`, options, place < 0 ? "" : place, (chosen) => {
          if (chosen === "") delete held[column.name];
          else held[column.name] = values[Number(chosen)];
          redraw();
        }),
      );
      busy.add(column.name);
      for (const other of column.with) busy.add(other);
    }
  }
  return found;
}

// Places of the designs that have the held values.
function kept(dataset, held) {
  const filters = Object.entries(held).map(([name, value]) => [byName(dataset, name).values, value]);
  const found = [];
  for (let i = 0; i < dataset.columns[0].values.length; i++) {
    if (filters.every(([values, value]) => values[i] === value)) found.push(i);
  }
  return found;
}

function describe(dataset, i) {
  return dataset.columns
    .filter((column) => column.values[i] !== null)
    .map((column) => `${plain(column.label)}: ${plain(entry(column, i))}`)
    .join("<br>");
}

function entry(column, i) {
  const value = column.values[i];
  return column.std ? writeWith(value, toNumber(column.std[i])) : write(value);
}

window.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("section.dataset").forEach((section, number) => {
    const dataset = report.datasets[number];
    const views = make("div", { class: "views" });
    section.append(views);
    for (const name of ["curve", "grid", "front"]) if (dataset[name]) views.append(figure(dataset, parts[name]));
    section.append(...tables(dataset));
  });
});
