// The leaderboard: one table at a time, sorted by any column, filtered by text and device; how it is
// sorted and filtered is in the address: find, on, references, columns and sort.
"use strict";

codonbench.ranking = () => {
  const { address, element, load, note, words } = codonbench;
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
  let followed = null; // what of the address the table shows

  pickText.addEventListener("input", () => said("find", pickText.value.trim()));
  pickDevice.addEventListener("change", () => said("on", pickDevice.value));
  pickReferences.addEventListener("change", () => said("references", pickReferences.checked ? "" : "no"));
  pickColumns.addEventListener("change", () => said("columns", pickColumns.checked ? "all" : ""));
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("more-rows").addEventListener("click", async () => { most = Infinity; await whole(); filter(); });
  return { show, mark, whole };

  // Puts a choice into the address, as no step back, and follows it.
  function said(name, value) {
    address.filter(name, value, true);
    follow();
  }

  async function follow() {
    const asked = address.asked();
    const wanted = [table.id, lines.length, ...["find", "on", "references", "columns", "sort"].map((name) => asked.get(name))].join("\n");
    if (wanted === followed) return; // or what has the focus would be made anew
    followed = wanted;
    if (pickText.value.trim() !== (asked.get("find") ?? "")) pickText.value = asked.get("find") ?? "";
    pickDevice.value = [...pickDevice.options].some((option) => option.value === asked.get("on")) ? asked.get("on") : "";
    pickReferences.checked = asked.get("references") !== "no";
    pickColumns.checked = asked.get("columns") === "all";
    grid.classList.toggle("all", pickColumns.checked);
    const [name, way] = (asked.get("sort") ?? "rank").split(".");
    sorting = columns.some((column) => column.value && column.name === name) ? { name, descending: way === "down" } : { name: "rank", descending: false };
    if (sorting.name !== "rank" || sorting.descending || pickText.value || pickDevice.value) await whole();
    sort();
  }

  // Loads the rows of a long table that its file has not.
  async function whole() {
    const own = table;
    if (!own.n_rest) return;
    try {
      const { rows } = await load("rest", own.id);
      if (!own.n_rest) return;
      own.n_rest = 0;
      own.rows.push(...rows);
      if (own === table) lines.push(...rows.map(unseen));
    } catch (error) {
      find("failed").replaceChildren(note(`The other rows could not be loaded: ${error.message}.`));
    }
  }

  function unseen(row) {
    return { row, tr: null, text: [codonbench.label(row), row.config, ...row.notes, ...row.devices].join(" ").toLowerCase() };
  }

  function show(chosen) {
    if (chosen === table) return follow();
    table = chosen;
    table.scale = codonbench.pairsScale(table.rows, table.span);
    most = MOST;
    columns = codonbench.columns(table);
    const devices = [...new Set(table.rows.flatMap((row) => row.devices))].sort();
    pickDevice.replaceChildren(element("option", { value: "" }, "All devices"), ...devices.map((d) => element("option", { value: d }, d)));
    find("about-table").textContent = about();
    find("explain-task").replaceChildren(...[codonbench.figures[table.figures]?.explain()].filter(Boolean));
    lines = table.rows.map(unseen);
    head();
    return follow();
  }

  function about() {
    const stop = codonbench.figures[table.figures]?.endings[table.stop] ?? "a run stops";
    return [
      `Task version ${table.version}${table.options && ` (${table.options})`}; ${stop} at ${words.whole(table.budget_pairs)} pairs; data ${table.data_checksum}; torch ${table.torch}; engine ${table.engines}.`,
      ...table.notes.filter((text) => !table.about.notes.includes(text)).map((text) => text.replace(`Data audit: ${table.about.audit}.`, "").trim()), // said above
    ].filter(Boolean).join(" ");
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
    const descending = sorting.name === name && !sorting.descending;
    said("sort", name === "rank" && !descending ? "" : `${name}${descending ? ".down" : ""}`);
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
    const hidden = fitting.length - contestants.length - references.length + (table.n_rest ?? 0);
    find("more-rows").hidden = !hidden;
    find("more-rows").textContent = `${words.whole(hidden)} more rows`;
    find("count").textContent = table.rows.length ? `${words.whole(fitting.length + (table.n_rest ?? 0))} of ${words.plural(lines.length + (table.n_rest ?? 0), "row")}` : "No rows: this task has not been run.";
  }

  function mark(id) {
    marked = id;
    for (const { row, tr } of lines) tr?.classList.toggle("open", row.id === id);
  }
};
