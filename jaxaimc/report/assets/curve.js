"use strict";
// A measured column over any other, with bands over chips. Means and deviations were computed before; see views.py.
const DASHES = ["dash", "dot", "dashdot", "longdash"];
parts.curve = {
  start(dataset) {
    const state = { ...dataset.curve, held: { ...dataset.curve.held } };
    state.logX = byName(dataset, state.x).log;
    state.logY = byName(dataset, state.y).log;
    return state;
  },

  title: (state) => `${state.y} against ${state.x}`,

  controls(dataset, state, refresh) {
    const option = (column) => [column.name, column.label];
    const horizontal = dataset.columns.filter((column) => column.role !== "shown");
    const fields = dataset.columns.filter((column) => column.role === "field");
    const [x, y] = [byName(dataset, state.x), byName(dataset, state.y)];
    const set = (name) => (value) => {
      state[name] = value;
      if (name === "x") state.logX = byName(dataset, value).log;
      if (name === "y") state.logY = byName(dataset, value).log;
      refresh();
    };
    return [
      select("Measured", measured(dataset).map(option), state.y, set("y")),
      select("Against", horizontal.map(option), state.x, set("x")),
      select("Colour", [["", "none"], ...fields.map(option)], state.colour, set("colour")),
      ...holders(dataset, [state.x, state.colour], state.held, refresh),
      logCheck(y, state.logY, set("logY")),
      logCheck(x, state.logX, set("logX")),
    ];
  },

  // The points of each colour, as `views.curves` gives them.
  points(dataset, state) {
    const [x, y] = [byName(dataset, state.x), byName(dataset, state.y)];
    const by = state.colour ? byName(dataset, state.colour) : null;
    const whole = kept(dataset, state.held).filter(
      (i) => x.values[i] !== null && (!x.number || Number.isFinite(toNumber(x.values[i]))) && Number.isFinite(toNumber(y.values[i])),
    );
    const groups = by ? [...levels(by), null].map((level) => [level, whole.filter((i) => by.values[i] === level)]) : [[null, whole]];
    const free = varied(dataset).filter((column) => ![state.x, state.colour, ...(x.with || [])].includes(column.name));
    return groups.filter(([, rows]) => rows.length).map(([level, rows]) => {
      if (x.number) rows.sort((i, j) => x.values[i] - x.values[j]);
      const single = new Set(rows.map((i) => x.values[i])).size === rows.length;
      const alone = free.every((column) => new Set(rows.map((i) => column.values[i])).size <= 1);
      return { level, rows, isLine: single && alone && rows.length > 1 && rows.length <= report.mostJoined && x.role === "field" && x.number };
    });
  },

  draw(dataset, state) {
    const [x, y] = [byName(dataset, state.x), byName(dataset, state.y)];
    const by = state.colour ? byName(dataset, state.colour) : null;
    const look = palette(by);
    const across = scale(x, state.logX && canBeLog(x));
    const up = scale(y, state.logY && canBeLog(y));
    // Names are read along lines of text: they stand on the vertical axis.
    const turned = !x.number;
    const traces = [];
    const groups = this.points(dataset, state);
    const means = groups.flatMap(({ rows }) => rows.map((i) => y.values[i]));
    const floor = state.logY ? means.reduce((a, b) => Math.min(a, b), Infinity) / 10 : -Infinity;
    let bands = 0;
    for (const { level, rows, isLine } of groups) {
      const { color, symbol } = look.scale ? { color: colour("faint"), symbol: "circle" } : by ? look.of(level) : { color: colour("accent"), symbol: "circle" };
      const place = rows.map((i) => across.place(x.values[i]));
      const mean = rows.map((i) => y.values[i]);
      const std = rows.map((i) => (y.std ? toNumber(y.std[i]) : NaN));
      const spread = std.some(Number.isFinite);
      bands += spread;
      const name = level === null ? (by ? "none" : y.name) : by.number ? writeShort(level, by.unit) : String(level);
      const group = String(level);
      if (isLine && spread && !look.scale) {
        const high = mean.map((value, k) => value + (std[k] || 0));
        const low = mean.map((value, k) => Math.max(floor, value - (std[k] || 0))).reverse();
        traces.push({
          x: [...place, ...[...place].reverse()], y: [...high, ...low], fill: "toself", mode: "lines", line: { width: 0 },
          fillcolor: fade(color, 0.22), hoverinfo: "skip", showlegend: false, legendgroup: group,
        });
      }
      const marker = look.scale
        ? { color: rows.map((i) => by.values[i]), coloraxis: "coloraxis", size: 7 }
        : { color, symbol, size: rows.length > 2000 ? 4 : 8, opacity: rows.length > 500 ? 0.6 : 1 };
      const error = { type: "data", array: std.map((value) => value || 0), visible: spread && !isLine && rows.length <= 500, thickness: 1.2, width: 3, color };
      traces.push({
        ...(turned ? { x: mean, y: place, error_x: error } : { x: place, y: mean, error_y: error }),
        mode: !isLine ? "markers" : rows.length > 60 ? "lines" : "lines+markers", line: { color, width: 2 }, marker, name: plain(name), legendgroup: group,
        showlegend: Boolean(by) && !look.scale, text: rows.map((i) => describe(dataset, i)), hoverinfo: "text",
      });
    }
    const references = dataset.references.filter(([column]) => column === y.name);
    const shapes = references.map(([, , value], k) => ({
      type: "line", [turned ? "yref" : "xref"]: "paper", [turned ? "y0" : "x0"]: 0, [turned ? "y1" : "x1"]: 1,
      [turned ? "x0" : "y0"]: value, [turned ? "x1" : "y1"]: value, layer: "below",
      line: { color: colour("soft"), width: 1.2, dash: DASHES[k % DASHES.length] },
    }));
    // One label stands at its line; several would lie over each other, and stand in the legend.
    const annotations = references.slice(0, references.length === 1 ? 1 : 0).map(([, label, value]) => ({
      text: plain(`${label} ${write(value, 4)}`), showarrow: false, [turned ? "yref" : "xref"]: "paper", [turned ? "y" : "x"]: 1,
      [turned ? "x" : "y"]: up.axis.type === "log" ? Math.log10(value) : value, xanchor: "right", yanchor: "bottom", font: { color: colour("soft"), size: 12 },
    }));
    if (references.length > 1) {
      references.forEach(([, label, value], k) => traces.push({
        x: [null], y: [null], mode: "lines", line: { color: colour("soft"), width: 1.2, dash: DASHES[k % DASHES.length] }, name: plain(`${label} ${write(value, 4)}`),
      }));
    }
    const names = turned ? new Set(groups.flatMap(({ rows }) => rows.map((i) => x.values[i]))).size : 0;
    const layout = { [turned ? "yaxis" : "xaxis"]: across.axis, [turned ? "xaxis" : "yaxis"]: up.axis, shapes, annotations };
    if (turned) Object.assign(across.axis, { autorange: "reversed", title: { text: plain(x.label), standoff: 10 }, dtick: 1 });
    if (up.axis.range) delete up.axis.range;
    // Of equal values Plotly shows everything from -1 to 1.
    if (new Set(means).size === 1 && means[0] && up.axis.type !== "log") up.axis.range = [0.9 * means[0], 1.1 * means[0]].sort((a, b) => a - b);
    if (look.scale) layout.coloraxis = { colorscale: "Cividis", colorbar: bar(by) };
    if (by) layout.legend = { ...base().legend, title: { text: plain(`${by.label}  `) } };
    return { traces, layout, text: this.caption(dataset, state, groups, bands, across), height: turned ? Math.max(260, 110 + 24 * names) : 0 };
  },

  caption(dataset, state, groups, bands, across) {
    const count = groups.reduce((sum, { rows }) => sum + rows.length, 0);
    const lines = groups.some(({ isLine }) => isLine);
    const found = [`${count.toLocaleString("en")} point${count === 1 ? "" : "s"}`];
    if (bands) found.push(`${lines ? "band" : "bars"}: mean ± one standard deviation ${dataset.ofChips}`);
    else if (dataset.per && dataset.chips === 1) found.push(`one ${dataset.per}, so no band`);
    const held = Object.entries(state.held).map(([name, value]) => `${name} = ${write(value)}`);
    if (held.length) found.push(`held: ${held.join(", ")}`);
    if (!lines && byName(dataset, state.x).role === "field" && byName(dataset, state.x).number && count > 1) {
      found.push(count > report.mostJoined ? "so many points are not joined" : "points are not joined, as other fields differ between them");
    }
    if (across.zero) found.push("0 has a place of its own on the logarithmic axis");
    return `${found.join("; ")}.`;
  },
};
