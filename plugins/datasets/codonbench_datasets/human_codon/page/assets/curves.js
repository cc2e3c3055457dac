// Learning curves: every seed a line over the logarithm of pairs, one seed in front.
"use strict";

codonbench.codons = {
  NEVER: 2 ** 32 - 1,
  // Levels 0..255 are roots of probabilities.
  probability: (level) => (level / 255) ** 2,
};

codonbench.codons.curves = (() => {
  const { probability } = codonbench.codons;

  // Plots for the element's width; `stacked` where it is too narrow for columns.
  function draw(holder, picture, table, front) {
    const seeds = picture.seeds.map((seed) => series(seed, picture));
    const wide = holder.clientWidth >= 760;
    const width = wide ? Math.floor((holder.clientWidth - 32) / 3) : holder.clientWidth;
    const n = picture.axes.inputs.length;
    const stops = picture.seeds[0].stops.length;
    const unit = picture.axes.unit;
    const panels = [
      { title: `${unit}s right, of ${n}`, y: "right", top: n },
      ...(stops ? [{ title: `stops right, of ${stops}`, y: "stopsRight", top: stops }] : []),
      { title: `lowest p(true) of all ${unit}s`, y: "lowest", top: 1, rule: 0.9 },
    ];
    holder.replaceChildren(...panels.map((panel) => chart(seeds, front, width, panel, seen(picture))));
  }

  // p(stop) of each stop, a panel each: no colour to tell apart.
  function drawStops(holder, picture, table, front) {
    const first = picture.seeds[0];
    const wide = holder.clientWidth >= 760;
    const width = wide ? Math.floor((holder.clientWidth - 32) / Math.min(first.stops.length, 3)) : holder.clientWidth;
    const varies = Boolean(table.control);
    holder.replaceChildren(...first.stops.map((input, k) => {
      const seeds = picture.seeds.filter((s) => k < s.stops.length).map((seed) => stopSeries(seed, k));
      const name = varies ? `stop ${k + 1} of each run's own code` : picture.axes.inputs[input];
      return chart(seeds, front, width, { title: `p(stop | ${name})`, y: "p", top: 1, rule: 0.9 }, []);
    }));
  }

  function series(seed) {
    const points = Array.from(seed.pairs, (pairs, t) => ({
      seed: seed.seed, pairs: from(pairs, seed), right: seed.right[t], stopsRight: seed.stops_right[t], lowest: probability(seed.lowest[t]),
    }));
    return { seed: seed.seed, points };
  }

  function stopSeries(seed, k) {
    const length = seed.pairs.length;
    return { seed: seed.seed, points: Array.from(seed.pairs, (pairs, t) => ({ seed: seed.seed, pairs: from(pairs, seed), p: probability(seed.p_stop[k * length + t]) })) };
  }

  // The probe before the first pair stands half a step to the left of the next: a log axis has no 0.
  function from(pairs, seed) {
    return pairs || (seed.pairs[1] || 2) / 2;
  }

  function seen(picture) {
    const found = picture.seeds.map((seed) => seed.all_seen).filter((x) => x != null);
    return found.length ? [d3.median(found)] : [];
  }

  function chart(seeds, front, width, panel, marks) {
    const behind = seeds.filter((s) => s.seed !== front).flatMap((s) => s.points);
    const ahead = seeds.filter((s) => s.seed === front).flatMap((s) => s.points);
    const line = { x: "pairs", y: panel.y, z: "seed", curve: "step-after" };
    return codonbench.plot({
      width, height: 210, marginLeft: 40, marginRight: 12, marginBottom: 34, marginTop: 26,
      ariaLabel: panel.title, ariaDescription: `${panel.title} over pairs on a log axis, a line for each of ${seeds.length} seeds; seed ${front} in front.`,
      x: { type: "log", label: "pairs", ticks: 4, tickFormat: codonbench.words.short },
      y: { domain: [0, panel.top], label: panel.title, labelArrow: "none", ticks: panel.top <= 5 && panel.top > 1 ? panel.top : 5, nice: false, tickFormat: panel.top === 1 ? ".1f" : "d" },
      style: { background: "none", color: "inherit", fontSize: "11px", overflow: "visible" },
      marks: [
        Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 4 }),
        panel.rule ? Plot.ruleY([panel.rule], { stroke: "var(--muted)", strokeDasharray: "2,3" }) : null,
        Plot.ruleX(marks, { stroke: "var(--muted)", strokeDasharray: "4,3" }),
        Plot.line(behind, { ...line, stroke: "var(--accent)", strokeWidth: 1, strokeOpacity: 0.45 }),
        Plot.line(ahead, { ...line, stroke: "var(--strong)", strokeWidth: 2 }),
      ],
    });
  }

  // For a chart of many rows: how many are right, of each seed.
  function learned(picture) {
    const { unit, inputs } = picture.axes;
    const seeds = picture.seeds.map((seed) => series(seed).points.map(({ pairs, right }) => ({ pairs, value: right })));
    return { title: `${unit}s right, of ${inputs.length}`, log: true, seeds };
  }

  return { draw, drawStops, learned };
})();
