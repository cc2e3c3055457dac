// The columns of the leaderboard: what each shows, and what it is sorted by.
"use strict";

// Those with `more` are shown with all columns only, so that the others fit a window.
// Sorting values: a number, a text, Infinity for "never", null for "does not apply".
codonbench.columns = (table) => {
  const { element, words } = codonbench;
  const has = (field) => table.rows.some((row) => row[field] != null);
  const hints = codonbench.figures[table.figures]?.hints ?? {};
  const title = (metric) => table.columns.find((c) => c.metric === metric)?.title ?? metric;

  const metric = (column) => ({
    name: column.metric, title: upper(column.title), hint: hints[column.metric] ?? upper(column.title), kind: "number",
    value: (row) => sortable(row.medians[column.metric]),
    cell: (row) => figure(row.medians[column.metric], words.written(column, table.budget_pairs)),
  });

  return [
    { name: "rank", title: "#", hint: `Rank by ${title(table.columns[0]?.metric)}; a question mark: in doubt, and the note says why`, kind: "number", value: (row) => row.rank ?? null, cell: (row) => [row.rank == null ? "" : `${row.rank}${row.doubted ? "?" : ""}`] },
    has("tier") && { name: "tier", title: "Tier", hint: "Rows of different tiers differ significantly in a paired test; a dash: too few seeds to test", kind: "number", value: (row) => row.tier, cell: (row) => [row.rank == null ? "" : row.tier ?? "–"] },
    { name: "model", title: "Model", hint: "Name, changed settings, supplier; opens the row", kind: "text", head: true, value: (row) => codonbench.label(row), cell: name },
    ...table.columns.slice(0, table.leading).map(metric),
    table.span && { name: "span", title: "", label: `${upper(title(table.span))}, drawn`, kind: "picture", cell: (row) => [bar(row.medians[table.span], table)] },
    table.success && { name: "success", title: "Success", hint: "Runs that succeeded, with the 95 % interval of their share", kind: "number", value: (row) => (row.medians[table.success] ? row.successes / row.seeds.length : null), cell: success },
    has("gain") && { name: "gain", title: "Gain", hint: `Difference from row zero, ${table.floor}; pale: the interval includes 0`, kind: "number", value: (row) => row.gain?.[0] ?? null, cell: gain },
    { name: "seeds", title: "Seeds", hint: "Runs counted", kind: "number", value: (row) => row.seeds.length, cell: (row) => [row.seeds.length] },
    ...table.columns.slice(table.leading).map((column) => ({ ...metric(column), more: table.leading > 1 })),
    has("restricted_mean") && { more: true, name: "restricted_mean", title: "Restricted mean", hint: `Mean of ${title(table.span)}, runs that never got there count with the whole budget`, kind: "number", value: (row) => row.restricted_mean?.value ?? null, cell: (row) => figure(rounded(row.restricted_mean), words.whole) },
    { name: "parameters", title: "Parameters", hint: "Trainable parameters, as reported by the worker", kind: "number", value: (row) => row.parameters, cell: (row) => [row.parameters ? words.whole(row.parameters) : "–"] },
    { more: true, name: "seconds", title: "s / run", hint: "Median training time of a run, if all ran on one device", kind: "number", value: (row) => row.seconds, cell: (row) => [row.seconds == null ? "" : d3.format(".2~f")(row.seconds)] },
    { name: "notes", title: "Notes", hint: "Flags and remarks", kind: "text", value: (row) => row.notes.join("; "), cell: (row) => [row.notes.join("; ")] },
  ].filter(Boolean);

  function name(row) {
    const link = element("a", { href: codonbench.address.to({ table: table.id, row: row.id }), "aria-label": codonbench.label(row) }, element("bdi", {}, row.model));
    const more = [row.changes, row.supplier && `by ${row.supplier}`].filter(Boolean).join("; ");
    return [link, more && element("small", {}, element("bdi", {}, more))];
  }

  function success(row) {
    if (!row.medians[table.success]) return ["–"];
    const interval = `${words.percent(row.success_low)}–${words.percent(row.success_high)} %`;
    return [`${row.successes}/${row.seeds.length}`, element("small", {}, interval)];
  }

  function gain(row) {
    if (!row.gain) return [""];
    const sign = (x) => `${x < 0 ? "−" : "+"}${d3.format(".3f")(Math.abs(x))}`;
    const [middle, low, high] = row.gain;
    const apart = low > 0 || high < 0;
    return [element("span", { class: apart ? "apart" : "muted" }, sign(middle)), element("small", {}, `${sign(low)} to ${sign(high)}`)];
  }

  function figure(value, text) {
    if (value == null) return ["–"];
    const single = value.low === value.high;
    return [text(value.value), !single && element("small", {}, `${text(value.low)} to ${text(value.high)}`)].filter(Boolean);
  }

  function upper(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  // A mean of pairs has decimals that no seed has.
  function rounded(mean) {
    return mean && { ...mean, value: Math.round(mean.value), low: Math.round(mean.low), high: Math.round(mean.high) };
  }

  function sortable(value) {
    return value == null ? null : value.value ?? Infinity;
  }

  // The median and its interval on a log axis that all rows of the table share.
  function bar(value, { scale }) {
    if (value == null || !scale) return element("span", { class: "bar", "aria-hidden": "true" });
    const at = (x) => `${(100 * scale(Math.max(x ?? Infinity, 1))).toFixed(2)}%`;
    const box = element("span", { class: "bar", "aria-hidden": "true" });
    const line = element("span", { class: "whisker" });
    line.style.left = at(value.low);
    line.style.right = `calc(100% - ${at(value.high)})`;
    const dot = element("span", { class: value.value == null ? "dot beyond" : "dot" });
    dot.style.left = at(value.value);
    box.append(line, dot);
    return box;
  }
};

codonbench.label = (row) => [row.model, row.changes && `(${row.changes})`, row.supplier && `by ${row.supplier}`].filter(Boolean).join(" ");

// Pairs to a share of the width, on a log axis; what lies beyond the budget is at its end.
codonbench.pairsScale = (rows, metric) => {
  const found = rows.flatMap((row) => { const m = row.medians[metric]; return m ? [m.low, m.value, m.high] : []; }).filter((x) => x != null && x > 0);
  if (!found.length) return null;
  const log = d3.scaleLog([d3.min(found), d3.max(found) * 1.0001], [0.04, 0.9]).clamp(true);
  return (x) => (x === Infinity ? 1 : log(x));
};
