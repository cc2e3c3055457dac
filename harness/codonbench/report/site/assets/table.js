// The leaderboard: one table at a time, sorted by any column, filtered by text and device.
"use strict";

codonbench.ranking = (board, address) => {
  const { element, words } = codonbench;
  const find = (id) => document.getElementById(id);
  const [pickTable, pickText, pickDevice, pickReferences, pickColumns] = ["table", "text", "device", "references", "columns"].map((name) => find(`pick-${name}`));
  const grid = find("table");
  let table = null;
  let columns = [];
  let lines = []; // {row, tr, text}
  let sorting = { name: "rank", descending: false };

  pickTable.append(...board.tables.map((t, i) => element("option", { value: i }, title(t))));
  pickTable.addEventListener("change", () => address.set("table", board.tables[pickTable.value].key));
  pickText.addEventListener("input", filter);
  pickDevice.addEventListener("change", filter);
  pickReferences.addEventListener("change", filter);
  pickColumns.addEventListener("change", () => grid.classList.toggle("all", pickColumns.checked));
  grid.classList.toggle("all", pickColumns.checked); // some browsers keep it over a reload
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  excluded(board.excluded);
  // Real sequences before simulated ones, no control before one; of these the longest.
  const first = d3.greatest(board.tables, (t) => (t.control ? 0 : 2e6) + (t.simulated ? 0 : 1e6) + t.rows.length);
  if (first) show(first);
  else find("count").textContent = "No results yet.";
  return { show, mark, tableOf: (row) => board.tables.find((t) => t.rows.includes(row)) };

  function title(t) {
    const data = t.data + (t.simulated ? " (simulated)" : "");
    return [`${t.task} on ${data}`, t.control && `control: ${t.control}`, t.stop === "budget" && "whole budget", t.device].filter(Boolean).join(" · ");
  }

  function show(chosen) {
    if (chosen === table) return;
    table = chosen;
    table.scale = codonbench.pairsScale(table.rows, table.span);
    pickTable.value = board.tables.indexOf(table);
    columns = codonbench.columns(table);
    const devices = [...new Set(table.rows.flatMap((row) => row.devices))].sort();
    pickDevice.replaceChildren(element("option", { value: "" }, "All devices"), ...devices.map((d) => element("option", { value: d }, d)));
    find("about-table").textContent = about();
    find("trade-off").replaceChildren(...codonbench.tradeOff(table));
    find("explain-task").replaceChildren(...[codonbench.figures[table.figures]?.explain()].filter(Boolean));
    lines = table.rows.map((row) => ({ row, tr: line(row), text: [codonbench.label(row), row.config, ...row.notes, ...row.devices].join(" ").toLowerCase() }));
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
    return element("tr", { "data-row": row.id }, ...cells);
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
    place();
    filter();
  }

  function place() {
    for (const body of [...grid.tBodies]) body.remove();
    const part = (role) => lines.filter((l) => l.row.role === role).map((l) => l.tr);
    const tiers = sorting.name === "rank" || sorting.name === "tier";
    for (const l of lines) l.tr.classList.remove("tier-begins");
    if (tiers) d3.pairs(lines.filter((l) => l.row.tier != null)).forEach(([a, b]) => b.tr.classList.toggle("tier-begins", a.row.tier !== b.row.tier));
    const references = part("reference");
    grid.append(element("tbody", {}, ...part("contestant")));
    if (references.length) {
      const heading = element("th", { colspan: columns.length, scope: "rowgroup", class: "group" }, "Reference rows, not ranked");
      grid.append(element("tbody", { class: "references" }, element("tr", {}, heading), ...references));
    }
  }

  function filter() {
    const wanted = pickText.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const { row, tr, text } of lines) {
      const fits = wanted.every((word) => text.includes(word))
        && (!pickDevice.value || row.devices.includes(pickDevice.value))
        && (pickReferences.checked || row.role !== "reference");
      tr.hidden = !fits;
      shown += fits;
    }
    const references = grid.querySelector("tbody.references");
    if (references) references.hidden = ![...references.rows].some((tr) => tr.dataset.row && !tr.hidden);
    find("count").textContent = `${words.whole(shown)} of ${words.plural(lines.length, "row")}`;
  }

  function mark(id) {
    for (const { row, tr } of lines) tr.classList.toggle("open", row.id === id);
  }

  function excluded(items) {
    if (!items.length) return;
    const box = find("excluded");
    box.hidden = false;
    box.querySelector("summary").textContent = `Not counted: ${words.plural(items.length, "record")}`;
    box.querySelector("ul").append(...items.map((e) => element("li", {}, element("bdi", {}, `${e.name}: ${e.reason}`))));
  }
};
