"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const drawn = new Set();
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;

  // A custom property alone would come as the text `light-dark(...)`.
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };

  const template = () => {
    const [ink, muted, line, accent, surface, ground] = ["ink", "muted", "line", "accent", "surface", "ground"].map(colour);
    const axis = {
      gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, fixedrange: isTouch,
      tickfont: { color: muted }, title: { font: { color: muted, size: 13 }, standoff: 10 },
    };
    const scale = [[0, surface], [1, accent]];
    return {
      layout: {
        font: { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size: 13, color: ink },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: [accent],
        margin: { l: 48, r: 16, t: 16, b: 48 }, xaxis: axis, yaxis: axis,
        legend: { orientation: "h", y: -0.16, yanchor: "top", x: 0, font: { color: ink } },
        hoverlabel: { bgcolor: surface, bordercolor: line, font: { color: ink } },
        dragmode: isTouch ? false : "zoom",
      },
      data: {
        heatmap: [{ colorscale: scale }],
        bar: [{ marker: { color: accent, line: { width: 0 }, pattern: { bgcolor: ground, fgcolor: accent } } }],
        scatter: [{ error_x: { color: accent } }],
      },
    };
  };

  const config = { displayModeBar: false, displaylogo: false, responsive: true, showLink: false, plotlyServerURL: "" };
  const draw = (div) => {
    if (drawn.has(div)) return;
    drawn.add(div);
    const { data, layout } = figures[div.id];
    Plotly.newPlot(div, data, { ...layout, template: template() }, config);
    if (drawn.size === 1) performance.mark("first-chart");
  };
  const redraw = () => {
    const now = template();
    for (const div of drawn) Plotly.react(div, div.data, { ...div.layout, template: now }, config);
  };

  const charts = [...document.querySelectorAll(".chart")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "300px" });
  charts.forEach((div) => near.observe(div));
  const idle = window.requestIdleCallback || ((act) => setTimeout(act, 50));
  const rest = () => {
    const next = charts.find((div) => !drawn.has(div));
    if (next) { draw(next); idle(rest); }
  };
  idle(rest);

  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const say = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    redraw();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    say();
  });
  dark.addEventListener("change", say);
  say();

  const fit = () => drawn.forEach((div) => Plotly.relayout(div, { width: div.clientWidth }));
  addEventListener("beforeprint", () => {
    root.dataset.was = root.dataset.theme || "";
    root.dataset.theme = "light";
    root.dataset.print = "";
    charts.forEach(draw);
    redraw();
    fit();
  });
  addEventListener("afterprint", () => {
    if (root.dataset.was) root.dataset.theme = root.dataset.was; else delete root.dataset.theme;
    delete root.dataset.print;
    drawn.forEach((div) => Plotly.relayout(div, { autosize: true, width: null }));
    redraw();
  });
})();
