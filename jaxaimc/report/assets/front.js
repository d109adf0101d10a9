"use strict";
// Two measured columns against each other: which designs no other one dominates.
parts.front = {
  start(dataset) {
    const [x, y] = dataset.front;
    const state = { x, y, higherX: byName(dataset, x).higher, higherY: byName(dataset, y).higher };
    state.logX = byName(dataset, x).log;
    state.logY = byName(dataset, y).log;
    return state;
  },

  title: (state) => `Pareto front of ${state.x} and ${state.y}`,

  controls(dataset, state, refresh) {
    const option = (column) => [column.name, column.label];
    const set = (name) => (value) => {
      state[name] = value;
      if (name === "x") [state.higherX, state.logX] = [byName(dataset, value).higher, byName(dataset, value).log];
      if (name === "y") [state.higherY, state.logY] = [byName(dataset, value).higher, byName(dataset, value).log];
      refresh();
    };
    const directions = [["lower", "lower is better"], ["higher", "higher is better"]];
    const better = (name, axisName) =>
      select(axisName, directions, state[name] ? "higher" : "lower", (value) => set(name)(value === "higher"));
    return [
      select("Across", measured(dataset).map(option), state.x, set("x")),
      better("higherX", `Of ${state.x}`),
      select("Up", measured(dataset).map(option), state.y, set("y")),
      better("higherY", `Of ${state.y}`),
      logCheck(byName(dataset, state.x), state.logX, set("logX")),
      logCheck(byName(dataset, state.y), state.logY, set("logY")),
    ];
  },

  // As `views.front`: by the first column, then by the second; what lowers the second so far is on the front.
  best(a, b) {
    const places = a.map((_, i) => i).filter((i) => Number.isFinite(a[i]) && Number.isFinite(b[i]));
    places.sort((i, j) => a[i] - a[j] || b[i] - b[j]);
    let [lowest, at] = [Infinity, NaN];
    return places.filter((i) => {
      const isBest = b[i] < lowest || (b[i] === lowest && a[i] === at);
      if (isBest) [lowest, at] = [b[i], a[i]];
      return isBest;
    });
  },

  draw(dataset, state) {
    const [x, y] = [byName(dataset, state.x), byName(dataset, state.y)];
    const [a, b] = [x, y].map((column) => column.values.map(toNumber));
    const best = this.best(a.map((value) => (state.higherX ? -value : value)), b.map((value) => (state.higherY ? -value : value)));
    const isBest = new Set(best);
    const rest = a.map((_, i) => i).filter((i) => !isBest.has(i) && Number.isFinite(a[i]) && Number.isFinite(b[i]));
    const points = (rows, name, marker) => ({
      x: rows.map((i) => a[i]), y: rows.map((i) => b[i]), mode: "markers", name, marker,
      text: rows.map((i) => describe(dataset, i)), hoverinfo: "text",
    });
    const logs = [state.logX && canBeLog(x), state.logY && canBeLog(y)];
    const axes = [x, y].map((column, k) => {
      const found = scale({ ...column, role: "measured" }, logs[k]).axis;
      delete found.range;
      const word = (k ? state.higherY : state.higherX) ? "higher" : "lower";
      found.title = { text: `${plain(column.label)}, ${word} is better`, standoff: 10 };
      return found;
    });
    const traces = [
      points(rest, "dominated", { color: colour("faint"), size: rest.length > 2000 ? 4 : 7, opacity: 0.45 }),
      // Between two designs of the front, what the better one in each column reaches.
      { x: best.map((i) => a[i]), y: best.map((i) => b[i]), mode: "lines", line: { shape: "hv", color: colour("accent"), width: 1.2, dash: "dot" }, hoverinfo: "skip", showlegend: false },
      points(best, "front", { color: colour("accent"), size: 10, line: { color: colour("paper"), width: 1 } }),
    ];
    const total = best.length + rest.length;
    const means = dataset.chips > 1 ? `, by means over ${dataset.per}s` : "";
    const text = `${best.length} of ${total.toLocaleString("en")} designs are on the front: no other is as good in both columns and better in one${means}.`;
    return { traces, layout: { xaxis: axes[0], yaxis: axes[1] }, text };
  },
};
