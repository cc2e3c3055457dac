// Where the model put the codons: letters for amino acids, synonyms tied to their centre.
"use strict";

codonbench.codons.embedding = (() => {
  // Okabe and Ito's colours, all but black and yellow, which vanish on one of our grounds. There are
  // more classes than colours that can be told apart, so the letter is what counts.
  const HUES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

  function draw(holder, picture) {
    const { xy, labels, explained, dimensions } = picture.embedding;
    const { classes, inputs } = picture.axes;
    const points = xy.map(([x, y], i) => ({ x, y, input: inputs[i], name: classes[labels[i]], hue: HUES[labels[i] % HUES.length] }));
    const centres = d3.rollup(points, (own) => ({ x: d3.mean(own, (p) => p.x), y: d3.mean(own, (p) => p.y) }), (p) => p.name);
    const ties = points.map((p) => ({ ...p, cx: centres.get(p.name).x, cy: centres.get(p.name).y }));
    const share = (k) => (dimensions > 2 ? `component ${k + 1} (${Math.round(100 * explained[k])} % of the variance)` : `dimension ${k + 1}`);
    const side = Math.min(holder.clientWidth, 620);
    holder.replaceChildren(codonbench.plot({
      width: side, height: Math.round(side * 0.8), inset: 14, style: { background: "none", color: "inherit", fontSize: "11px" },
      ariaLabel: "Embedding in two dimensions", ariaDescription: `Each of ${inputs.length} inputs where the model put it, shown by the letter of its class.`,
      x: { label: share(0), ticks: 5 }, y: { label: share(1), ticks: 5 },
      marks: [
        Plot.link(ties, { x1: "x", y1: "y", x2: "cx", y2: "cy", stroke: "hue", strokeOpacity: 0.45 }),
        Plot.dot(points, { x: "x", y: "y", r: 8, fill: "hue", fillOpacity: 0.35, stroke: "hue", title: (p) => `${p.input}: ${p.name}` }),
        Plot.text(points, { x: "x", y: "y", text: "name", fill: "currentColor", fontWeight: 600, fontSize: 11, pointerEvents: "none" }),
      ],
    }));
  }

  return { draw };
})();
