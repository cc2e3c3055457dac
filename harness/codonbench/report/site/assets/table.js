// The leaderboard: one table at a time, sorted by any column, filtered by text and device.
"use strict";

codonbench.ranking = () => {
  const { element, words } = codonbench;
  const find = (id) => document.getElementById(id);
  const MOST = 500; // rows in sight at first: ten thousand take a browser seconds
  const [pickText, pickDevice, pickReferences, pickColumns] = ["text", "device", "references", "columns"].map((name) => find(`pick-${name}`));
  const grid = find("table");
  let table = null;
  let columns = [];
  let lines = []; // {row, tr, text}
  let sorting = { name: "rank", descending: false };
  let most = MOST;
  let marked = null;

  pickText.addEventListener("input", filter);
  pickDevice.addEventListener("change", filter);
  pickReferences.addEventListener("change", filter);
  pickColumns.addEventListener("change", () => grid.classList.toggle("all", pickColumns.checked));
  grid.classList.toggle("all", pickColumns.checked); // some browsers keep it over a reload
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("more-rows").addEventListener("click", () => { most = Infinity; filter(); });
  return { show, mark };

  function show(chosen) {
    if (chosen === table) return;
    table = chosen;
    table.scale = codonbench.pairsScale(table.rows, table.span);
    most = MOST;
    columns = codonbench.columns(table);
    const devices = [...new Set(table.rows.flatMap((row) => row.devices))].sort();
    pickDevice.replaceChildren(element("option", { value: "" }, "All devices"), ...devices.map((d) => element("option", { value: d }, d)));
    find("about-table").textContent = about();
    find("explain-task").replaceChildren(...[codonbench.figures[table.figures]?.explain()].filter(Boolean));
    lines = table.rows.map((row) => ({ row, tr: null, text: [codonbench.label(row), row.config, ...row.notes, ...row.devices].join(" ").toLowerCase() }));
    sorting = { name: "rank", descending: false };
    head();
    sort();
  }

  function about() {
    const stop = codonbench.figures[table.figures]?.endings[table.stop] ?? "a run stops";
    return [
      `Task version ${table.version}${table.options && ` (${table.options})`}; ${stop} at ${words.whole(table.budget_pairs)} pairs; data ${table.data_checksum}; torch ${table.torch}; engine ${table.engines}.`,
      ...table.notes,
    ].join(" ");
  }

  function head() {
    const cells = columns.map((column) => {
      const attributes = { scope: "col", class: classes(column), "data-column": column.name };
      if (!column.value) return element("th", attributes, element("span", { class: "hidden" }, column.label));
      const button = element("button", { type: "button", title: column.hint, onclick: () => sortBy(column.name) }, column.title);
      return element("th", attributes, button);
    });
    grid.tHead.replaceChildren(element("tr", {}, ...cells));
  }

  function line(row) {
    const cells = columns.map((column) =>
      column.head
        ? element("th", { scope: "row", class: column.kind }, ...column.cell(row))
        : element("td", { class: `${classes(column)} ${column.name}` }, ...column.cell(row)));
    return element("tr", { "data-row": row.id, class: row.id === marked ? "open" : null }, ...cells);
  }

  function classes(column) {
    return column.more ? `${column.kind} more` : column.kind;
  }

  function sortBy(name) {
    sorting = { name, descending: sorting.name === name && !sorting.descending };
    sort();
  }

  function sort() {
    const column = columns.find((c) => c.name === sorting.name);
    const sign = sorting.descending ? -1 : 1;
    const order = (a, b) => {
      const [x, y] = [column.value(a.row), column.value(b.row)];
      if (x == null || y == null) return (x == null) - (y == null); // last, whichever way
      return sign * (column.kind === "text" ? x.localeCompare(y, "en") : d3.ascending(x, y));
    };
    lines.sort(order);
    for (const th of grid.tHead.rows[0].cells) {
      const own = th.dataset.column === sorting.name;
      if (own) th.setAttribute("aria-sort", sorting.descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
    filter();
  }

  function fits({ row, text }) {
    return pickText.value.trim().toLowerCase().split(/\s+/).every((word) => text.includes(word))
      && (!pickDevice.value || row.devices.includes(pickDevice.value))
      && (pickReferences.checked || row.role !== "reference");
  }

  // Puts the lines that fit into the table, in order; each is made when it is first in sight.
  function filter() {
    for (const body of [...grid.tBodies]) body.remove();
    const fitting = lines.filter(fits);
    const part = (role) => fitting.filter((l) => l.row.role === role).slice(0, most);
    const [contestants, references] = [part("contestant"), part("reference")];
    for (const l of [...contestants, ...references]) l.tr ??= line(l.row);
    const tiers = sorting.name === "rank" || sorting.name === "tier";
    for (const l of contestants) l.tr.classList.remove("tier-begins");
    if (tiers) d3.pairs(contestants.filter((l) => l.row.tier != null)).forEach(([a, b]) => b.tr.classList.toggle("tier-begins", a.row.tier !== b.row.tier));
    grid.append(element("tbody", {}, ...contestants.map((l) => l.tr)));
    if (references.length) {
      const heading = element("th", { colspan: columns.length, scope: "rowgroup", class: "group" }, "Reference rows, not ranked");
      grid.append(element("tbody", { class: "references" }, element("tr", {}, heading), ...references.map((l) => l.tr)));
    }
    const hidden = fitting.length - contestants.length - references.length;
    find("more-rows").hidden = !hidden;
    find("more-rows").textContent = `${words.whole(hidden)} more rows`;
    find("count").textContent = table.rows.length ? `${words.whole(fitting.length)} of ${words.plural(lines.length, "row")}` : "No rows: nobody has run this task.";
  }

  function mark(id) {
    marked = id;
    for (const { row, tr } of lines) tr?.classList.toggle("open", row.id === id);
  }
};
