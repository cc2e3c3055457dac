// Tasks by models: what each model gains over the floor of each task, and how models stand over many.
"use strict";

codonbench.overview = (board, address) => {
  const { element, words, choice, note } = codonbench;
  const section = document.getElementById("overview");
  const { lines, summaries } = board.overview;
  if (lines.length < 2) return { show() {} };
  section.hidden = false;
  const distinct = (field) => [...new Set(lines.map((line) => line[field]))].sort();
  const picks = {
    category: choice("Category", [["", "All categories"], ...distinct("category").map((c) => [c, c])]),
    device: choice("Device", [["", "All devices"], ...distinct("device").map((d) => [d, d])]),
    audit: choice("Data audit", [["", "Failed tasks last"], ["sound", "Without failed tasks"]]),
    size: choice("Test items", [["", "Any number"], ["1000", "1,000 or more"], ["100", "100 or more"]]),
    summary: choice("Over tasks", [["rank", "Mean rank"], ["wins", "Who beats whom"]]),
  };
  const [grid, standing] = [element("div"), element("div")];
  for (const [name, pick] of Object.entries(picks)) pick.select.addEventListener("change", () => address.set(name, pick.value()));
  section.append(element("div", { class: "picks" }, ...Object.values(picks).map((pick) => pick.label)), grid, standing);
  return { show };

  // Draws what an address asks for.
  function show(asked) {
    for (const [name, pick] of Object.entries(picks)) {
      const there = [...pick.select.options].some((option) => option.value === asked.get(name));
      pick.select.value = there ? asked.get(name) : pick.select.options[0].value;
    }
    const [category, device, least] = ["category", "device", "size"].map((name) => picks[name].value());
    const fits = lines.filter((line) => (!category || line.category === category)
      && (!device || line.device === device) && (line.n_items ?? 0) >= Number(least));
    const [sound, failed] = [fits.filter((line) => line.verdict !== "FAIL"), fits.filter((line) => line.verdict === "FAIL")];
    const blocks = d3.groups(sound, (line) => line.category).flatMap(([name, own]) => [element("h3", {}, name), tasks(own, name)]);
    if (failed.length && !picks.audit.value()) blocks.push(element("h3", {}, "Tasks whose data audit failed"), note("They count in no summary."), tasks(failed, "Tasks whose data audit failed"));
    grid.replaceChildren(...(blocks.length ? blocks : [note("No task fits.")]));
    const found = summaries.filter((s) => s.category === category && (!device || s.device === device));
    standing.replaceChildren(...found.flatMap((s) => (picks.summary.value() === "wins" ? matrix(s) : ranks(s))));
  }

  function tasks(part, caption) {
    const models = d3.sort(d3.rollups(part.flatMap((line) => Object.entries(line.cells)), (own) => [own.some(([, cell]) => cell.role !== "reference"), own.length], ([name]) => name), ([, [contests]]) => !contests, ([, [, often]]) => -often, ([name]) => name).map(([name]) => name);
    const head = element("tr", {}, ...["task", "ceiling", ...models].map((name) => element("th", { scope: "col" }, name)));
    const rows = part.map((line) => element("tr", {}, task(line), element("td", {}, line.ceiling == null ? "" : line.ceiling.toFixed(line.digits)), ...models.map((name) => cell(line, line.cells[name]))));
    const table = element("table", { class: "grid overview" }, element("caption", { class: "hidden" }, `${caption}: what each model gains over the floor`), element("thead", {}, head), element("tbody", {}, ...rows));
    return element("div", { class: "scroll", role: "region", "aria-label": `${caption}, scrolls sideways`, tabindex: 0 }, table);
  }

  function task(line) {
    const several = line.n_tables > 1 && ` ${line.n_tables} tables`;
    return element("th", { scope: "row" }, element("a", { href: address.with("table", line.key) }, line.task),
      element("small", {}, [line.metric, line.verdict && `audit ${line.verdict}`, line.device, several].filter(Boolean).join(" · ")));
  }

  // The gain over the floor, pale where its interval holds 0; the score of a reference row.
  function cell(line, own) {
    if (!own) return element("td", { class: "missing", title: "not run on this task" });
    const sign = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(line.digits)}`;
    const score = own.figure && words.censored(own.figure.value == null ? null : Number(own.figure.value.toFixed(line.digits)));
    const link = (text) => element("a", { href: address.with("row", own.row) }, text);
    if (!own.gain) return element("td", { class: own.role }, link(score ?? "-"), own.role === "reference" && element("small", {}, "reference"));
    const apart = own.gain.low > 0 || own.gain.high < 0;
    const about = `${line.metric} ${score}; over ${line.floor}: ${sign(own.gain.value)} [${sign(own.gain.low)}, ${sign(own.gain.high)}]; ${words.plural(own.seeds, "seed")}`;
    return element("td", { class: apart ? "apart" : "pale", title: about }, link(sign(own.gain.value)),
      element("small", {}, `${sign(own.gain.low)} to ${sign(own.gain.high)}`), !apart && element("small", {}, "not told apart"));
  }

  function title(s) {
    return element("h3", {}, `${s.category || "All categories"}, ${words.plural(s.tasks.length, "task")}, ${s.device}`);
  }

  function ranks(s) {
    const marks = s.standings.map((own) => ({ ...own.mean_rank, model: own.model, tier: own.tier, reference: own.reference }));
    const [best] = marks;
    const wide = Math.min(760, section.clientWidth - 44);
    const chart = Plot.plot({
      width: wide, height: 46 + 24 * marks.length, marginLeft: 190, ariaLabel: "Mean rank of each model with its interval",
      x: { label: "mean rank (1 is the best)", grid: true }, y: { label: null, domain: marks.map((d) => d.model) },
      marks: [
        Plot.ruleY(marks, { y: "model", x1: "low", x2: "high", stroke: "var(--accent)", strokeWidth: 3, strokeOpacity: 0.45 }),
        Plot.dot(marks, { x: "value", y: "model", r: 5, fill: (d) => (d.reference ? "var(--card)" : "var(--accent)"), stroke: "var(--accent)" }),
        Plot.ruleY([best], { y: "model", x1: best.value, x2: best.value + s.critical_difference, stroke: "var(--strong)", strokeWidth: 2, dy: -9 }),
      ],
    });
    const rows = s.standings.map((own) => element("tr", {}, element("th", { scope: "row" }, own.model), element("td", {}, own.tier),
      element("td", {}, `${own.n_tasks} of ${s.tasks.length}`), share(own.mean_rank), share(own.win_rate), element("td", {}, own.swaps == null ? "" : own.swaps.toFixed(2))));
    const head = ["model", "tier", "tasks", "mean rank", "win rate", "swaps with next"].map((text) => element("th", { scope: "col" }, text));
    const numbers = element("table", { class: "grid" }, element("caption", { class: "hidden" }, "How models stand"), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    return [title(s), chart, note(`Lines: 95 % intervals over tasks, seeds and test items. The bar above the first row is the critical difference, ${s.critical_difference.toFixed(2)}: mean ranks closer than that are not told apart (Nemenyi). A model comes last where it was not run. Hollow dots are reference rows.${s.failed.length ? ` Left out, as their data audit failed: ${s.failed.join(", ")}.` : ""}`),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "How models stand, as numbers" }, numbers)];
  }

  function share(own) {
    return element("td", {}, own.value.toFixed(2), element("small", {}, `${own.low.toFixed(2)} to ${own.high.toFixed(2)}`));
  }

  function matrix(s) {
    const names = s.standings.map((own) => own.model);
    const head = element("tr", {}, element("th", { scope: "col" }, "ahead of"), ...names.map((name) => element("th", { scope: "col" }, name)));
    const rows = names.map((name, i) => element("tr", {}, element("th", { scope: "row" }, name), ...s.wins[i].map((value) =>
      element("td", value == null ? {} : { style: `background: color-mix(in srgb, var(--accent) ${Math.round(35 * value)}%, transparent)` }, value == null ? "" : `${words.percent(value)} %`))));
    const table = element("table", { class: "grid" }, element("caption", { class: "hidden" }, "In how many tasks the row's model is ahead of the column's"), element("thead", {}, head), element("tbody", {}, ...rows));
    return [title(s), note("In how many of the tasks that both were run on the row's model is ahead of the column's; a tie is half."),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Who beats whom" }, table)];
  }
};
