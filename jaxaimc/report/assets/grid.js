"use strict";
// A measured column over two fields: a heat map of a full grid, coloured points of anything else.
parts.grid = {
  start(dataset) {
    const [x, y] = dataset.grid;
    return { x, y, z: dataset.curve.y, held: { ...dataset.curve.held } };
  },

  title: (state) => `${state.z} by ${state.x} and ${state.y}`,

  controls(dataset, state, refresh) {
    const fields = varied(dataset);
    const others = fields.filter((column) => column.name !== state.x && !byName(dataset, state.x).with.includes(column.name));
    if (!others.some((column) => column.name === state.y)) state.y = others.length ? others[0].name : state.x;
    const option = (column) => [column.name, column.label];
    const set = (name) => (value) => {
      state[name] = value;
      refresh();
    };
    return [
      select("Measured", measured(dataset).map(option), state.z, set("z")),
      select("Across", fields.map(option), state.x, set("x")),
      select("Up", others.map(option), state.y, set("y")),
      ...holders(dataset, [state.x, state.y], state.held, refresh),
    ];
  },

  // One value for each pair, or null where a pair has several designs or most have none; as `views.grid`.
  cells(x, y, z, rows) {
    const [across, up] = [levels(x), levels(y)];
    const used = rows.filter((i) => Number.isFinite(toNumber(z.values[i])) && x.values[i] !== null && y.values[i] !== null);
    if (!used.length || used.length < (across.length * up.length) / 4) return null;
    const places = [across, up].map((values) => new Map(values.map((value, k) => [value, k])));
    const found = up.map(() => across.map(() => null));
    const design = up.map(() => across.map(() => null));
    for (const i of used) {
      const [a, b] = [places[0].get(x.values[i]), places[1].get(y.values[i])];
      if (a === undefined || b === undefined) continue;
      if (found[b][a] !== null) return null;
      found[b][a] = z.values[i];
      design[b][a] = i;
    }
    return { across, up, found, design };
  },

  draw(dataset, state) {
    const [x, y, z] = [state.x, state.y, state.z].map((name) => byName(dataset, name));
    const rows = kept(dataset, state.held);
    const cells = this.cells(x, y, z, rows);
    const narrow = window.innerWidth < 640;
    const margin = { margin: { ...base().margin, t: 12 } };
    if (!cells) {
      const [across, up] = [scale(x, x.log), scale(y, y.log)];
      const drawnRows = rows.filter((i) => Number.isFinite(toNumber(z.values[i])) && x.values[i] !== null && y.values[i] !== null);
      const trace = {
        x: drawnRows.map((i) => across.place(x.values[i])), y: drawnRows.map((i) => up.place(y.values[i])), mode: "markers",
        marker: { color: drawnRows.map((i) => z.values[i]), colorscale: "Cividis", showscale: true, colorbar: bar(z), size: drawnRows.length > 2000 ? 5 : 9 },
        text: drawnRows.map((i) => describe(dataset, i)), hoverinfo: "text",
      };
      const text = `${drawnRows.length.toLocaleString("en")} points, which fill no grid of these two fields.`;
      return { traces: [trace], layout: { ...margin, xaxis: across.axis, yaxis: up.axis }, text };
    }
    const shorten = (text) => (narrow && text.length > 16 ? `${text.slice(0, 6)}…${text.slice(-9)}` : text);
    const name = (column) => (value) => (column.number ? writeShort(value, column.unit) : plain(value));
    const few = cells.across.length * cells.up.length <= (narrow ? 24 : 80) && cells.across.length <= (narrow ? 5 : 12);
    const trace = {
      type: "heatmap", z: cells.found, colorscale: "Cividis", colorbar: bar(z), xgap: 1, ygap: 1, hoverongaps: false,
      text: cells.design.map((line) => line.map((i) => (i === null ? "" : describe(dataset, i)))), hoverinfo: "text",
    };
    const annotations = [];
    const values = cells.found.flat().filter((value) => value !== null);
    const middle = (Math.min(...values) + Math.max(...values)) / 2;
    if (few) {
      cells.found.forEach((line, b) => line.forEach((value, a) => {
        // The palette is dark below its middle.
        if (value !== null) annotations.push({ x: a, y: b, text: writeShort(value, z.unit || " ").slice(0, 7), showarrow: false, font: { size: 11, color: value > middle ? "#111" : "#fff" } });
      }));
    }
    const ticks = (column, found) => axis(column.label, {
      tickmode: "array", tickvals: thin(found.length, narrow ? 6 : 14), ticktext: thin(found.length, narrow ? 6 : 14).map((k) => name(column)(found[k])), showgrid: false,
    });
    const yaxis = ticks(y, cells.up);
    if (!y.number) Object.assign(yaxis, { autorange: "reversed", tickvals: cells.up.map((_, k) => k), ticktext: cells.up.map(name(y)) });
    const xaxis = ticks(x, cells.across);
    if (!x.number) Object.assign(xaxis, { tickvals: cells.across.map((_, k) => k), ticktext: cells.across.map((value) => plain(shorten(value))) });
    const empty = cells.found.flat().length - values.length;
    const parts = [`${values.length.toLocaleString("en")} points, cells of equal size`];
    if (dataset.chips > 1) parts.push(`means ${dataset.ofChips}`);
    if (empty) parts.push(`${empty} pairs were not measured`);
    const held = Object.entries(state.held).map(([field, value]) => `${field} = ${write(value)}`);
    if (held.length) parts.push(`held: ${held.join(", ")}`);
    const height = y.number ? 0 : Math.max(300, 110 + 22 * cells.up.length);
    return { traces: [trace], layout: { ...margin, xaxis, yaxis, annotations }, text: `${parts.join("; ")}.`, height };
  },
};

function thin(count, most) {
  const step = Math.ceil(count / most);
  return [...Array(count).keys()].filter((k) => k % step === 0);
}
