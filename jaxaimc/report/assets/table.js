"use strict";
// Tables that are sorted by their headings and filtered by the fields below them; a page of rows at a time is drawn.
const ROWS = 50;

function tables(dataset) {
  const columns = dataset.columns.map((column) => ({ ...column, write: (i) => entry(column, i) }));
  const found = [table(`${dataset.title}, by design`, columns)];
  if (dataset.rows.length) {
    const details = make("details", {}, make("summary", {}, `Every ${dataset.per}`));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) {
        const rows = dataset.rows.map((column) => ({ ...column, write: (i) => write(column.values[i]) }));
        details.append(table(`${dataset.title}, every ${dataset.per}`, rows));
      }
    });
    found.push(details);
  }
  return found;
}

// ">0.9", "<=3", "=8", "0.1..0.5", or a part of the text; null where a number is not one.
function condition(text, column) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return () => true;
  const range = wanted.match(/^(.+)\.\.(.+)$/);
  const bound = wanted.match(/^(<=|>=|<|>|=)(.*)$/);
  const numbers = (range ? range.slice(1) : bound ? [bound[2]] : []).map((word) => (word.trim() ? Number(word) : NaN));
  if (column.number && numbers.length) {
    if (numbers.some(Number.isNaN)) return null;
    const [a, b] = numbers;
    const test = range
      ? (value) => value >= a && value <= b
      : { "<": (v) => v < a, ">": (v) => v > a, "<=": (v) => v <= a, ">=": (v) => v >= a, "=": (v) => v === a }[bound[1]];
    return (i) => column.values[i] !== null && test(toNumber(column.values[i]));
  }
  return (i) => column.write(i).toLowerCase().includes(wanted);
}

function order(column, direction) {
  const place = (i) => {
    const value = column.values[i];
    if (value === null) return null;
    if (!column.number) return String(value);
    return Number.isNaN(toNumber(value)) ? null : toNumber(value);
  };
  return (i, j) => {
    const [a, b] = [place(i), place(j)];
    // What has no number comes last, whatever the direction.
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    const less = column.number ? a - b : a.localeCompare(b, "en", { numeric: true });
    return direction * (Number.isNaN(less) ? 0 : less) || i - j;
  };
}

function table(caption, columns) {
  const count = columns[0].values.length;
  const filters = columns.map(() => "");
  let sorted = null, direction = 1, page = 0, rows = [];
  const status = make("span", { class: "count", role: "status" });
  const body = make("tbody");
  const heads = columns.map((column, k) => {
    const button = make("button", { type: "button" }, column.label);
    button.addEventListener("click", () => {
      [sorted, direction] = sorted === k && direction === 1 ? [k, -1] : sorted === k ? [null, 1] : [k, 1];
      heads.forEach((head, other) => {
        head.setAttribute("aria-sort", other !== sorted ? "none" : direction === 1 ? "ascending" : "descending");
      });
      update();
    });
    return make("th", { scope: "col", "aria-sort": "none", class: column.number ? "number" : "text" }, button);
  });
  const fields = columns.map((column, k) => {
    const hint = column.number ? ">, <, a..b" : "text";
    const input = make("input", { type: "text", "aria-label": `Filter ${column.label}`, placeholder: hint, autocomplete: "off" });
    input.addEventListener("input", () => {
      filters[k] = input.value;
      input.setAttribute("aria-invalid", String(condition(input.value, column) === null));
      update();
    });
    return make("td", {}, input);
  });
  const back = make("button", { type: "button" }, "Previous");
  const next = make("button", { type: "button" }, "Next");
  const save = make("button", { type: "button" }, "Save as CSV");
  back.addEventListener("click", () => show(page - 1));
  next.addEventListener("click", () => show(page + 1));
  save.addEventListener("click", () => saveRows(caption, columns, rows));

  function update() {
    const tests = columns.map((column, k) => condition(filters[k], column)).filter((test) => test !== null);
    rows = [];
    for (let i = 0; i < count; i++) if (tests.every((test) => test(i))) rows.push(i);
    if (sorted !== null) rows.sort(order(columns[sorted], direction));
    show(0);
  }

  function show(number) {
    page = number;
    const first = page * ROWS;
    body.replaceChildren(
      ...rows.slice(first, first + ROWS).map((i) =>
        make("tr", {}, ...columns.map((column) => make("td", { class: column.number ? "number" : "text" }, column.write(i)))),
      ),
    );
    const last = Math.min(first + ROWS, rows.length);
    const all = rows.length === count ? "" : ` that pass the filters, of ${count.toLocaleString("en")}`;
    status.textContent = rows.length ? `Rows ${first + 1} to ${last} of ${rows.length.toLocaleString("en")}${all}` : `No row${all}`;
    back.disabled = page === 0;
    next.disabled = last >= rows.length;
  }

  update();
  const whole = make("table", {}, make("thead", {}, make("tr", {}, ...heads), make("tr", {}, ...fields)), body);
  whole.setAttribute("aria-label", caption);
  const scroll = make("div", { class: "scroll", role: "region", "aria-label": caption });
  scroll.tabIndex = 0;
  scroll.append(whole);
  return make("div", { class: "rows" }, scroll, make("div", { class: "pager" }, back, next, status, save));
}

function saveRows(caption, columns, rows) {
  const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const named = columns.flatMap((column) => [[column.label, column.values], ...(column.std ? [[`${column.label} std`, column.std]] : [])]);
  const lines = [named.map(([label]) => quoted(label)), ...rows.map((i) => named.map(([, values]) => quoted(String(values[i] ?? ""))))];
  const link = make("a", { download: `${caption.replace(/[^\w.-]+/g, "_")}.csv` });
  link.href = URL.createObjectURL(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}
