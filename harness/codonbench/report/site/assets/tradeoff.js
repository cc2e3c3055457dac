// Cost against the primary metric: parameters, seconds, training pairs, or tuning.
"use strict";

codonbench.tradeOff = (table) => {
  const { element, choice, note, words } = codonbench;
  const metric = table.columns[0];
  const rows = table.rows.filter((row) => row.medians[metric?.metric]?.value != null);
  const box = element("div");
  const costs = {
    parameters: { label: "parameters", least: 1, of: (row) => row.parameters },
    seconds: { label: `training seconds per run, on ${table.device}`, least: 0.01, of: (row) => row.seconds },
    pairs: { label: `training pairs until ${metric?.limited ? "the end of a run" : "the tested state"}`, least: 1, of: (row) => row.shown_pairs },
  };
  // Seconds of a CPU's cores and of a GPU are not added up: a row stands on the axis of its own kind.
  const kinds = Object.entries({ cpu: "CPU cores", cuda: "a GPU" }).filter(([kind]) => rows.some((row) => row.tuned_on === kind));
  for (const [kind, what] of kinds.length ? kinds : [["cpu", "CPU cores"]])
    costs[`tuning-${kind}`] = { label: `seconds of tuning on ${what}`, least: 1, of: (row) => ((row.tuned_on ?? kind) === kind ? row.tuned_seconds ?? 0 : null) };
  const needed = table.curves.length ? "for that see “Score by training examples”" : "that was not measured (protocol sample_efficiency)";
  const hints = { // what is said of a cost beside its axis
    pairs: metric?.limited ? "" : ` A pair counts each time it is presented, so this is not the number of examples that a row needs: ${needed}.`,
  };
  // A learner that is trained and says of no parameter, as a forest, is not the cheapest.
  const uncounted = (row) => against.value() === "parameters" && !row.parameters && row.shown_pairs > 0;
  const against = choice("Against", Object.entries(costs).map(([name, { label }]) => [name, label]), "parameters");
  against.select.addEventListener("change", draw);
  if (rows.length) draw();
  else box.append(note("No row has a score."));
  return [against.label, box];

  function draw() {
    const { label, least, of } = costs[against.value()];
    const tuning = against.value().startsWith("tuning");
    const others = rows.some((row) => of(row) == null) ? "; rows tuned on the other kind of device are left out" : "";
    const elsewhere = ` Rows without recorded tuning are at the left${others}.`;
    const marks = rows.filter((row) => of(row) != null).map((row) => ({ ...row.medians[metric.metric], cost: Math.max(of(row), least), name: codonbench.label(row), role: row.role, counted: !uncounted(row) }));
    const sign = table.higher ? 1 : -1;
    let best = -Infinity; // the rows that no cheaper one reaches
    const front = d3.sort(marks.filter((d) => d.counted), (d) => d.cost, (d) => -sign * d.value).filter((d) => sign * d.value > best && ((best = sign * d.value), true));
    const width = Math.min(760, document.getElementById("board").clientWidth - 44);
    const across = d3.scaleLog(d3.extent(marks, (d) => d.cost), [100, width - 90]);
    const down = (metric.limited ? d3.scaleSymlog().constant(100) : d3.scaleLinear()).domain(d3.extent(marks.flatMap((d) => [d.low, d.value, d.high]))).range([280, 40]);
    const named = []; // a name that would lie on the one before it stands above that
    for (const d of front) {
      const [text, before] = [words.name(d.name, 26), named.at(-1)];
      const at = down(d.value) - 12;
      const near = before && across(d.cost) - across(before.cost) < 3.5 * (text.length + before.text.length) && Math.abs(at - before.at) < 13;
      named.push({ ...d, text, at: near ? before.at - 13 : at, up: near ? at - before.at + 13 : 0 });
    }
    const dots = { x: "cost", y: "value", title: (d) => `${d.name}: ${words.number(d.value)}, ${words.number(d.cost)} ${label}` };
    const names = (some) => some.map((d) => words.name(d.name, 50)).join(", ");
    const left = marks.filter((d) => !d.counted);
    const said = [
      front.length > 0 && `The line joins the rows that no cheaper row matches: ${names(front)}.`, "Hollow dots are reference rows.",
      left.length > 0 && `Parameters are not counted for ${names(left)}, drawn at ${least} and off the line.`,
      !tuning && rows.some((row) => of(row) === 0 && !uncounted(row)) && `A cost of 0 is drawn at ${least}.`,
    ];
    box.replaceChildren(
      codonbench.plot({
        width, height: 320, marginLeft: 70, ariaLabel: `${metric.title} against ${label}`,
        x: { type: "log", label, grid: true, insetLeft: 30, insetRight: 70 },
        y: { label: metric.title, grid: true, insetTop: 16 + (d3.max(named, (d) => d.up) ?? 0), ...(metric.limited && { type: "symlog", constant: 100, ticks: [0, 100, 1e3, 1e4, 1e5, 1e6, 1e7], tickFormat: words.short }) },
        marks: [
          Plot.line(front, { ...dots, title: null, stroke: "var(--strong)", curve: "step-after" }),
          Plot.ruleX(marks, { x: "cost", y1: "low", y2: "high", stroke: "var(--accent)", strokeOpacity: 0.45, strokeWidth: 3 }),
          ...named.map((d) => Plot.text([d], { x: "cost", y: "value", text: "text", dy: -12 - d.up, fill: "currentColor", stroke: "var(--card)", strokeWidth: 4 })),
          Plot.dot(marks, { ...dots, r: 5, fill: (d) => (d.role === "reference" ? "var(--card)" : "var(--accent)"), stroke: "var(--accent)" }),
        ],
      }),
      note(`${said.filter(Boolean).join(" ")}${tuning ? elsewhere : hints[against.value()] ?? ""}`));
  }
};
