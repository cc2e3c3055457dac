// The whole code at every probe, and beside it what the paper's instrument shows at that moment.
"use strict";

codonbench.codons.heatMap = (() => {
  const { element, words } = codonbench;
  const { probability } = codonbench.codons;
  const SATURATES = 0.056; // where the colours of the paper's map are full
  const colour = d3.interpolateCividis;
  const exactly = Array.from({ length: 256 }, (_, level) => colour(probability(level)));
  const saturating = Array.from({ length: 256 }, (_, level) => colour(Math.min(1, probability(level) / SATURATES)));

  function build(holder, picture) {
    const map = view(picture);
    const slider = element("input", { type: "range", min: 0, max: map.length - 1, value: map.length - 1, step: 1, id: "probe" });
    const output = element("output", { id: "probe-text", for: "probe", "aria-live": "off" });
    const play = element("button", { type: "button", class: "play" }, "Play");
    const pointed = element("p", { class: "pointed muted", "aria-hidden": "true" });
    const whole = element("div", { class: "panel" });
    const seen = element("div", { class: "panel" });
    const numbers = element("details", { class: "numbers" }, element("summary", {}, "This evaluation in numbers"), element("div", { class: "scroll short", tabindex: 0, role: "region", "aria-label": "This evaluation in numbers" }));
    const legend = element("div", { class: "legends" });
    holder.replaceChildren(
      element("div", { class: "steering" }, element("div", { class: "slider" }, play, element("label", { for: "probe" }, "Training"), slider), output),
      element("div", { class: "panels" }, whole, seen),
      pointed, legend, numbers,
    );
    let panels = [];
    let timer = null;

    const show = (t) => {
      panels.forEach((panel) => panel.paint(t));
      const text = map.describe(t);
      output.textContent = text;
      slider.setAttribute("aria-valuetext", text);
      if (numbers.open) numbers.lastChild.replaceChildren(map.table(t));
    };
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    const start = () => {
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      const [wait, step] = calm ? [1000, Math.ceil(map.length / 12)] : [50, Math.max(1, Math.round(map.length / 240))];
      if (+slider.value >= map.length - 1) slider.value = 0;
      play.textContent = "Pause";
      timer = setInterval(() => {
        slider.value = Math.min(map.length - 1, +slider.value + step);
        show(+slider.value);
        if (+slider.value >= map.length - 1) stop();
      }, wait);
    };
    play.addEventListener("click", () => (timer ? stop() : start()));
    slider.addEventListener("input", () => { if (timer) stop(); show(+slider.value); });
    numbers.addEventListener("toggle", () => show(+slider.value));

    const draw = () => {
      legend.replaceChildren(scale("p, whole code", [0, 1]), ...(map.looks.length ? [scale("p, instrument: saturates at 0.056", [0, SATURATES])] : []));
      panels = [panel(whole, map, pointed, "The whole code", (t) => map.column(t, exactly))];
      if (map.looks.length) panels.push(panel(seen, map, pointed, "The paper's instrument", (t) => map.instrument(t, saturating)));
      else seen.replaceChildren(element("p", { class: "muted none" }, map.blind));
      show(+slider.value);
    };
    return { draw, stop };
  }

  // The arrays of a heat map, asked for as pictures ask.
  function view(picture) {
    const heat = picture.heat_map;
    const { inputs, classes, unit } = picture.axes;
    const [P, C, T] = [inputs.length, classes.length, heat.pairs.length];
    const F = heat.looks.length;
    const order = d3.sort(d3.range(P), (i) => heat.labels[i], (i) => i); // a code that is known is a staircase
    const cells = order.flatMap((i) => d3.range(C).map((c) => ({ i, c, input: inputs[i], name: classes[c], truth: heat.labels[i] === c })));
    const level = (i, c, t) => heat.p[(i * C + c) * T + t];
    const isRight = (i, t) => heat.right[i * T + t] === 1;
    const lastLook = (t) => d3.bisectRight(heat.looks, t) - 1;
    // For each input the frame that drew it last, up to a frame; -1 for none.
    const drawn = d3.range(P).map((i) => { const row = new Int32Array(F); let last = -1; for (let f = 0; f < F; f++) { if (heat.redrawn[i * F + f]) last = f; row[f] = last; } return row; });

    return {
      length: T, cells, order, inputs, classes, unit, looks: heat.looks, labels: heat.labels,
      blind: picture.axes.first_look
        ? `The paper's instrument evaluates a model for the first time after ${words.whole(picture.axes.first_look)} pairs. This run ended before that.`
        : "This task has no published instrument.",
      column: (t, colours) => cells.map(({ i, c }) => colours[level(i, c, t)]),
      instrument: (t, colours) => {
        const f = lastLook(t);
        return cells.map(({ i, c }) => {
          const by = f < 0 ? -1 : drawn[i][f];
          return by < 0 ? "url(#blank)" : colours[level(i, c, heat.looks[by])];
        });
      },
      value: (cell, t) => probability(level(cell.i, cell.c, t)),
      describe: (t) => {
        const wrong = d3.range(P).filter((i) => !isRight(i, t)).map((i) => inputs[i]);
        const named = wrong.length > 8 ? `${wrong.slice(0, 8).join(", ")} and ${wrong.length - 8} more` : wrong.join(", ");
        const looks = F ? `; instrument: ${words.plural(lastLook(t) + 1, "frame")}, ${d3.count(drawn, (row) => (lastLook(t) >= 0 && row[lastLook(t)] >= 0 ? 1 : NaN))} of ${P} drawn` : "";
        return `Evaluation ${t + 1} of ${T}: ${words.whole(heat.pairs[t])} pairs, ${P - wrong.length} of ${P} right${wrong.length ? `; wrong: ${named}` : ""}${looks}`;
      },
      table: (t) => {
        const head = [unit, "true class", "p(true)", "likeliest rival", "p(rival)", "right"];
        const rows = order.map((i) => {
          const truth = heat.labels[i];
          const rival = d3.greatest(d3.range(C).filter((c) => c !== truth), (c) => level(i, c, t));
          const p = (c) => probability(level(i, c, t)).toFixed(3);
          return [inputs[i], classes[truth], p(truth), classes[rival], p(rival), isRight(i, t) ? "yes" : "no"];
        });
        return codonbench.grid(head, rows);
      },
    };
  }

  function panel(holder, map, pointed, title, fills) {
    const wide = holder.clientWidth >= 620; // codons across, as in the paper; down on a narrow screen
    const size = { width: holder.clientWidth, height: wide ? 24 + 40 + map.classes.length * 14 : 44 + map.inputs.length * 11 };
    const names = map.order.map((i) => map.inputs[i]);
    const along = { domain: names, label: null, tickSize: 0, tickPadding: wide ? 4 : 3 };
    const across = { domain: map.classes, label: null, tickSize: 0, tickPadding: 4 };
    const place = wide ? { x: "input", y: "name" } : { x: "name", y: "input" };
    const svg = codonbench.plot({
      ...size, marginLeft: wide ? 22 : 38, marginRight: 4, marginTop: wide ? 4 : 20, marginBottom: wide ? 38 : 4,
      padding: 0, style: { background: "none", color: "inherit", fontSize: wide ? "9px" : "8.5px", fontFamily: "var(--mono)" },
      ariaLabel: title, ariaDescription: `p(class | ${map.unit}) for ${map.inputs.length} ${map.unit}s and ${map.classes.length} classes, outlined where a class is the true one.`,
      x: { ...(wide ? along : across), axis: wide ? "bottom" : "top", tickRotate: wide ? -90 : 0 },
      y: { ...(wide ? across : along) },
      marks: [
        Plot.cell(map.cells, { ...place, fill: "var(--line)", className: "cells", ariaHidden: "true" }),
        Plot.cell(map.cells.filter((cell) => cell.truth), { ...place, fill: "none", stroke: "var(--truth)", strokeWidth: 1, inset: 0.5, pointerEvents: "none", ariaHidden: "true" }),
      ],
    });
    const defs = d3.select(svg).append("defs").append("pattern").attr("id", "blank").attr("width", 4).attr("height", 4).attr("patternUnits", "userSpaceOnUse");
    defs.append("rect").attr("width", 4).attr("height", 4).attr("fill", "var(--card)");
    defs.append("path").attr("d", "M0 4L4 0").attr("stroke", "var(--line)");
    const rects = d3.select(svg).select(".cells").selectAll("rect").nodes();
    let now = 0;
    rects.forEach((rect, k) => rect.addEventListener("pointerenter", () => {
      const cell = map.cells[k];
      pointed.textContent = `${cell.input} → ${cell.name}${cell.truth ? " (true)" : ""}: p = ${map.value(cell, now).toFixed(3)} at this evaluation`;
    }));
    holder.replaceChildren(element("h4", {}, title), svg);
    return { paint: (t) => { now = t; fills(t).forEach((fill, k) => rects[k].setAttribute("fill", fill)); } };
  }

  function scale(label, domain) {
    return Plot.legend({ color: { type: "linear", domain, interpolate: colour, label, ticks: 3 }, width: 210, height: 42, marginLeft: 12, marginRight: 14, ticks: 3, style: { background: "none", color: "inherit" } });
  }

  return { build };
})();
