// Tasks by models: the gain of each model over row zero on each task, and summaries over tasks.
"use strict";

codonbench.overview = (board) => {
  const { address, element, words, choice, note } = codonbench;
  const section = document.getElementById("overview");
  const { summaries } = board.overview;
  const lines = board.overview.lines.map((line) => ({ ...line, cells: new Map(line.cells.map((cell) => [board.models[cell[0]][1], cell])) }));
  if (lines.filter((line) => !line.apart).length < 2) return { show() {} };
  const NARROW = ["protocol", "track", "size", "since"]; // filters that summaries were not made for
  const [FEW, MANY] = [12, 40]; // models that a grid shows at first, and a chart: more is no view
  const distinct = (field) => [...new Set(lines.map((line) => line[field]))].sort();
  const picks = {
    category: choice("Category", [["", "All categories"], ...distinct("category").map((c) => [c, c])]),
    protocol: choice("Protocol", [["", "All protocols"], ...distinct("protocol").map((p) => [p, p])]),
    track: choice("Track", [["", "All tracks"], ["main", "trained from scratch"], ["pretrained", "pretrained"]]),
    device: choice("Device", [["", "All devices"], ...distinct("device").map((d) => [d, d])]),
    audit: choice("Data audit", [["", "Failed tasks last"], ["sound", "Without failed tasks"]]),
    size: choice("Test items", [["", "Any number"], ["1000", "1,000 or more"], ["100", "100 or more"]]),
    since: day("Run since"),
    summary: choice("Over tasks", [["rank", "Mean rank"], ["wins", "Pairwise comparison"], ["categories", "Win rates by category"]]),
  };
  let missing = ""; // why a cell is empty
  const [grid, standing] = [element("div"), element("div")];
  const unrun = board.unrun.length > 0 && element("details", { class: "explain" }, element("summary", {}, `Not run yet: ${words.plural(board.unrun.length, "task")}`), element("p", {}, board.unrun.join(", ")));
  for (const [name, pick] of Object.entries(picks)) pick.select.addEventListener("change", () => address.filter(name, pick.value()));
  section.append(element("div", { class: "picks" }, ...Object.values(picks).map((pick) => pick.label)), ...[grid, unrun, standing].filter(Boolean));
  return { show };

  function day(text) {
    const select = element("input", { type: "date" });
    return { select, label: element("label", { class: "choice" }, `${text} `, select), value: () => select.value };
  }

  // Draws what an address asks for.
  function show(asked) {
    for (const [name, pick] of Object.entries(picks)) {
      if (name === "since") {
        pick.select.value = asked.get(name) ?? ""; // which takes a day, and nothing else
        continue;
      }
      const there = [...pick.select.options].some((option) => option.value === asked.get(name));
      pick.select.value = there ? asked.get(name) : pick.select.options[0].value;
    }
    const [category, device, protocol, track, least, since] = ["category", "device", "protocol", "track", "size", "since"].map((name) => picks[name].value());
    const recent = since ? lines.map((line) => ({ ...line, cells: new Map([...line.cells].filter(([, cell]) => cell[6] >= since)) })).filter((line) => line.cells.size) : lines;
    missing = since ? `not run on this task since ${since}` : "not run on this task";
    const fits = recent.filter((line) => (!category || line.category === category) && (!device || line.device === device)
      && (!protocol || line.protocol === protocol) && (!track || (line.track || "main") === track) && (line.n_items ?? 0) >= Number(least));
    const [sound, failed] = [fits.filter((line) => line.verdict !== "FAIL"), fits.filter((line) => line.verdict === "FAIL")];
    const blocks = d3.groups(sound, (line) => line.category).flatMap(([name, own]) => [element("h3", {}, name), tasks(own, name)]);
    if (failed.length && !picks.audit.value()) blocks.push(element("h3", {}, "Tasks whose data audit failed"), note(`The summaries ${summaries.some((s) => s.failed.some((task) => s.tasks.includes(task))) ? "include them (--with-failed)" : "do not include them"}.`), tasks(failed, "Tasks whose data audit failed"));
    grid.replaceChildren(...(blocks.length ? blocks : [note("No task fits.")]));
    const found = summaries.filter((s) => (!device || s.device === device)
      && (s.category === category || (!category && !summaries.some((all) => all.device === s.device && !all.category)))); // a single category is all
    const whole = found.filter((s) => counted(s).every((line) => fits.some((left) => left.table === line.table && left.cells.size === line.cells.size)));
    const drawn = { wins: matrix, rank: ranks, categories: byCategory }[picks.summary.value()];
    standing.replaceChildren(...(whole.length < found.length ? [element("p", { class: "muted note" }, "Summaries over tasks are not shown, since these filters leave out rows that they count. ", element("a", { href: address.without(NARROW) }, "Clear these filters"))] : []), ...whole.flatMap(drawn));
  }

  // What a summary rests on: of each task the first table, where its data audit has not failed or these were asked for.
  function counted(s) {
    return lines.filter((line) => !line.apart && (line.verdict !== "FAIL" || s.tasks.includes(line.task)) && line.device === s.device && (!s.category || line.category === s.category));
  }

  function tasks(part, caption) {
    const cells = part.flatMap((line) => [...line.cells]);
    const models = d3.sort(d3.rollups(cells, (own) => [own.some(([, cell]) => !cell[2]), own.length], ([name]) => name), ([, [contests]]) => contests, ([, [, often]]) => -often, ([name]) => name).map(([name]) => name);
    const references = models.filter((name) => cells.every(([own, cell]) => own !== name || cell[2]));
    const box = element("div", { class: "scroll", role: "region", "aria-label": `${caption}, scrolls sideways`, tabindex: 0 });
    const few = models.length > FEW ? [...references.slice(0, 4), ...models.slice(references.length)].slice(0, FEW) : models; // gains are over the former
    fill(few);
    if (few.length === models.length) return box;
    const more = element("button", { type: "button", onclick: () => { fill(models); more.remove(); } }, `All ${models.length} models`);
    return element("div", {}, box, more);

    function fill(names) {
      const ceilings = part.some((line) => line.ceiling != null);
      const head = element("tr", {}, ...["task", ceilings && "ceiling", ...names].filter(Boolean).map((name) => element("th", { scope: "col", title: name.length > 30 && name }, element("bdi", {}, words.name(name, 30)))));
      const rows = part.map((line) => element("tr", {}, task(line), ceilings && element("td", {}, line.ceiling == null ? "" : line.ceiling.toFixed(line.digits)), ...names.map((name) => cell(line, line.cells.get(name)))));
      box.replaceChildren(element("table", { class: "grid overview" }, element("caption", { class: "hidden" }, `${caption}: gain of each model over row zero`), element("thead", {}, head), element("tbody", {}, ...rows)));
    }
  }

  function task(line) {
    return element("th", { scope: "row" }, element("a", { href: address.to({ table: line.table }) }, line.task),
      element("small", {}, [line.metric, line.verdict && `audit ${line.verdict}`, line.device, line.apart].filter(Boolean).join(" · ")));
  }

  // The gain over the floor, pale where its interval holds 0; the score of a reference row.
  function cell(line, own) {
    if (!own) return element("td", { class: "missing", title: missing }, element("span", { class: "hidden" }, missing));
    const [, row, reference, value, gain, seeds] = own;
    const sign = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(line.digits)}`;
    const score = typeof value === "number" ? d3.format(Number.isInteger(value) ? "," : `,.${line.digits}f`)(value) : value ?? "–";
    const link = (text) => element("a", { href: address.to(row ? { table: line.table, row } : { table: line.table }) }, text);
    if (!gain) return element("td", { class: reference ? "reference" : "" }, link(score), reference === 1 && element("small", {}, "reference"));
    const [middle, low, high] = gain;
    const apart = low > 0 || high < 0;
    const about = `${line.metric} ${score}; over ${line.floor}: ${sign(middle)} [${sign(low)}, ${sign(high)}]; ${words.plural(seeds, "seed")}`;
    return element("td", { class: apart ? "apart" : "pale", title: about }, link(sign(middle)),
      element("small", {}, `${sign(low)} to ${sign(high)}`), !apart && element("small", {}, "includes 0"));
  }

  function title(s) {
    return element("h3", {}, `${s.category || "All categories"}, ${words.plural(s.tasks.length, "task")}, ${s.device}`);
  }

  function ranks(s) {
    const short = shortened(s.standings.map((own) => own.model));
    const marks = s.standings.slice(0, MANY).map((own) => ({ ...own.mean_rank, model: short.get(own.model), reference: own.reference }));
    const [best] = marks;
    const bars = groupBars(s.groups.map(([first, last]) => [first, Math.min(last, marks.length - 1)]).filter(([first, last]) => first < last));
    const right = 24 + 9 * (d3.max(bars, (bar) => bar.lane + 1) ?? 0);
    const wide = Math.max(Math.min(760, section.clientWidth - 44), 300 + right);
    const chart = codonbench.plot({
      width: wide, height: 46 + 24 * marks.length, marginLeft: 190, marginRight: right, ariaLabel: "Mean rank of each model with its interval, and groups that do not differ significantly",
      x: { label: "mean rank (1 is the best)", grid: true }, y: { label: null, domain: marks.map((d) => d.model) },
      marks: [
        Plot.ruleY(marks, { y: "model", x1: "low", x2: "high", stroke: "var(--accent)", strokeWidth: 3, strokeOpacity: 0.45 }),
        Plot.dot(marks, { x: "value", y: "model", r: 5, fill: (d) => (d.reference ? "var(--card)" : "var(--accent)"), stroke: "var(--accent)" }),
        Plot.ruleY([best], { y: "model", x1: best.value, x2: best.value + s.critical_difference, stroke: "var(--strong)", strokeWidth: 2, dy: -9 }),
        (index, { y }, values, { width, marginRight }) => d3.create("svg:g").attr("stroke", "var(--strong)").attr("stroke-width", 4).attr("stroke-linecap", "round")
          .call((g) => g.selectAll("line").data(bars).join("line").attr("class", "group-bar").attr("x1", (bar) => width - marginRight + 14 + 9 * bar.lane).attr("x2", (bar) => width - marginRight + 14 + 9 * bar.lane)
            .attr("y1", (bar) => y(marks[bar.first].model) - 4).attr("y2", (bar) => y(marks[bar.last].model) + 4)).node(),
      ],
    });
    chart.style.maxWidth = "none";
    const letters = s.standings.map((_, i) => s.groups.flatMap(([first, last], group) => (first <= i && i <= last ? [letter(group)] : [])).join(" "));
    const rows = s.standings.map((own, i) => element("tr", {}, element("th", { scope: "row" }, own.model), element("td", {}, own.tier), element("td", {}, letters[i]),
      element("td", {}, `${own.n_tasks} of ${s.tasks.length}`), share(own.mean_rank), share(own.win_rate), element("td", {}, own.swaps == null ? "" : own.swaps.toFixed(2))));
    const head = ["model", "tier", "groups", "tasks", "mean rank", "win rate", "swaps with next"].map((text) => element("th", { scope: "col" }, text));
    const numbers = element("table", { class: "grid" }, element("caption", { class: "hidden" }, "Models over tasks"), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    return [title(s), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Mean ranks, scrolls sideways" }, chart),
      note(`Lines: 95 % intervals over tasks, seeds and test items. The bar above the first row is Nemenyi's critical difference, ${s.critical_difference.toFixed(2)}: models with closer mean ranks do not differ significantly. ${s.groups.length ? "A bar at the right joins models of which no two differ significantly; in the table they share a letter." : "All models differ significantly from one another."} ${models(s)}${s.standings.length > MANY ? ` Drawn: the first ${MANY} of ${s.standings.length}.` : ""} Hollow dots are reference rows.${s.failed.length ? ` Left out, since their data audit failed: ${s.failed.join(", ")}.` : ""}`),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Models over tasks, as numbers" }, numbers)];
  }

  // Bars of groups that overlap stand beside one another.
  function groupBars(groups) {
    const ends = []; // of each lane, the last row that is taken
    return groups.map(([first, last]) => {
      const free = ends.findIndex((end) => end < first);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = last;
      return { first, last, lane };
    });
  }

  function letter(i) {
    return (i < 26 ? "" : letter(Math.floor(i / 26) - 1)) + String.fromCharCode(97 + (i % 26));
  }

  // Names that are cut alike stay apart.
  function shortened(names) {
    return new Map(names.map((name, i) => [name, `${words.name(name, 26)}${"\u200b".repeat(i)}`]));
  }

  // Whom a summary is of, and over what.
  function models(s) {
    return `Each task counts with one table. Included are models that were run on at least half of the tasks; on a task that a model was not run on, it comes last.${s.failed.some((task) => s.tasks.includes(task)) ? " Tasks whose data audit failed are included (--with-failed)." : ""}${s.unplaced.length ? ` Not included, since none of these models was run on them: ${s.unplaced.join(", ")}.` : ""}`;
  }

  // Win rates of one model in each category: rankings differ between them.
  function byCategory(s) {
    const own = summaries.filter((other) => other.device === s.device && other.category && (!s.category || other.category === s.category));
    if (!own.length) return [title(s), note("No category has two tasks or more.")];
    const names = d3.sort(new Set(own.flatMap((one) => one.standings.map((each) => each.model))), (name) => -d3.mean(own.flatMap((one) => one.standings.filter((each) => each.model === name)), (each) => each.win_rate.value));
    const head = element("tr", {}, ...["model", ...own.map((one) => `${one.category} (${one.tasks.length})`)].map((text) => element("th", { scope: "col" }, text)));
    const rows = names.map((name) => element("tr", {}, element("th", { scope: "row", title: name.length > 40 && name }, words.name(name, 40)), ...own.map((one) => {
      const found = one.standings.find((each) => each.model === name);
      return found ? shaded(found.win_rate.value, element("small", {}, `${words.percent(found.win_rate.low)} to ${words.percent(found.win_rate.high)}`)) : element("td", { class: "missing" }, element("span", { class: "hidden" }, "not run on half of its tasks"));
    })));
    return [title(s), categoryChart(own, names),
      note(`Win rate in each category of two tasks or more: over all pairs of a task and another model, the share in which the model is ahead, with its 95 % interval. The number at the right of a line is the model's place in the category; hollow dots are reference rows. No dot: not run on half of the tasks.${names.length > MANY ? ` Drawn: the first ${MANY} of ${names.length}.` : ""}`),
      element("details", { class: "numbers" }, element("summary", {}, "Win rates by category in numbers"), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Win rates by category in numbers" }, element("table", { class: "grid" }, element("thead", {}, head), element("tbody", {}, ...rows))))];
  }

  // A panel a category, the same line for a model in each.
  function categoryChart(own, names) {
    const [left, panel] = [200, 118];
    const drawn = names.slice(0, MANY);
    const short = shortened(drawn);
    const marks = own.flatMap((one, i) => d3.sort(one.standings, (each) => -each.win_rate.value, (each) => each.model)
      .map((each, place) => ({ ...each.win_rate, place: place + 1, reference: each.reference, model: short.get(each.model), panel: i, name: each.model, category: one.category })).filter((each) => each.model));
    const about = (d) => `${d.name}, ${d.category}: ${words.percent(d.value)} % [${words.percent(d.low)} to ${words.percent(d.high)}], place ${d.place}`;
    const chart = codonbench.plot({
      width: left + panel * own.length, height: 84 + 22 * drawn.length, marginLeft: left, marginTop: 44, marginRight: 30,
      ariaLabel: `Win rate of each model by category: ${own.map((one) => `${one.category}, first ${d3.least(one.standings, (each) => -each.win_rate.value).model}`).join("; ")}`,
      fx: { domain: d3.range(own.length), tickFormat: (i) => words.cut(own[i].category, 15), label: null, padding: 0.24 },
      x: { domain: [0, 1], ticks: [0, 0.5, 1], tickFormat: (share) => `${100 * share}%`, grid: true, label: null }, y: { label: null, domain: drawn.map((name) => short.get(name)) },
      marks: [
        Plot.ruleY(marks, { fx: "panel", y: "model", x1: "low", x2: "high", stroke: "var(--accent)", strokeWidth: 3, strokeOpacity: 0.45 }),
        Plot.dot(marks, { fx: "panel", y: "model", x: "value", r: 4.5, fill: (d) => (d.reference ? "var(--card)" : "var(--accent)"), stroke: "var(--accent)", title: about }),
        Plot.text(marks, { fx: "panel", y: "model", frameAnchor: "right", dx: 16, text: (d) => String(d.place), fill: "var(--muted)" }),
      ],
    });
    chart.style.maxWidth = "none"; // it scrolls where the window is narrow, and stays readable
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Win rates by category, scroll sideways" }, chart);
  }

  function shaded(value, ...more) {
    return element("td", { style: tint(value) }, `${words.percent(value)} %`, ...more);
  }

  function tint(share) {
    return `background: color-mix(in srgb, var(--accent) ${Math.round(35 * share)}%, transparent)`;
  }

  function share(own) {
    return element("td", {}, own.value.toFixed(2), element("small", {}, `${own.low.toFixed(2)} to ${own.high.toFixed(2)}`));
  }

  // Who is ahead of whom: pale where they are not told apart.
  function matrix(s) {
    const names = s.standings.map((own) => words.name(own.model, 40));
    const head = element("tr", {}, element("th", { scope: "col" }, "ahead of"), ...names.map((name) => element("th", { scope: "col" }, name)));
    const rows = names.map((name, i) => element("tr", {}, element("th", { scope: "row" }, name), ...names.map((other, j) => duel(s, i, j))));
    const table = element("table", { class: "grid" }, element("caption", { class: "hidden" }, "Share of tasks in which the row's model is ahead of the column's"), element("thead", {}, head), element("tbody", {}, ...rows));
    return [title(s), note(`Share of tasks, among those that either model was run on, in which the row's model is ahead of the column's, with its 95 % interval over tasks, seeds and test items. A tie counts as half. Pale: no significant difference, since the interval includes 50 % or there are fewer than six tasks. ${models(s)}`),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Pairwise comparison" }, table)];
  }

  function duel(s, i, j) {
    if (i === j) return element("td");
    const [won, from, to, tasks, apart] = s.wins[Math.min(i, j)][Math.abs(i - j) - 1];
    const [value, low, high] = i < j ? [won, from, to] : [100 - won, 100 - to, 100 - from];
    const over = `over ${words.plural(tasks, "task")}`;
    return element("td", { title: over, ...(apart ? { style: tint(value / 100) } : { class: "pale" }) }, `${value} %`, element("small", {}, `${low} to ${high}`),
      element("span", { class: "hidden" }, `${over}${apart ? "" : ", no significant difference"}`));
  }
};
