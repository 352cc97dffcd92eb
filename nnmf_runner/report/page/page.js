"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, text, properties = {}) => Object.assign(document.createElement(tag), { textContent: text, ...properties });

// Sorting: a column by its numbers where it has any, what is none last in either direction.
const keyOf = (cell) => {
  const number = Number(cell.dataset.v ?? (cell.textContent.trim() || NaN));
  return Number.isNaN(number) ? cell.textContent : number;
};
const compare = (a, b) => {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return typeof a === "number" ? -1 : 1;
};
const sortBy = (table, index) => {
  const heads = all("thead th", table), body = table.tBodies[0];
  const falls = heads[index].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[index].setAttribute("aria-sort", falls ? "descending" : "ascending");
  const keyed = [...body.rows].map((row) => [keyOf(row.cells[index]), row]);
  keyed.sort(([a], [b]) => (falls && typeof a === typeof b ? -1 : 1) * compare(a, b));
  body.append(...keyed.map(([, row]) => row));
};
for (const table of all("table[data-sort]")) {
  all("thead th", table).forEach((head, index) => {
    const button = make("button", head.textContent, { type: "button" });
    button.addEventListener("click", () => sortBy(table, index));
    head.replaceChildren(button);
  });
}

// Filtering: rows that hold all words that are typed.
for (const table of all("table[data-filter]")) {
  const place = table.closest(".scroll"), line = make("label", "Rows with ", { className: "filter" });
  const field = make("input", "", { type: "search" }), count = make("output", "");
  const rows = [...table.tBodies[0].rows].map((row) => [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  line.append(field, count);
  place.before(line);
}

// Trees: all at once.
for (const tree of all(".tree.root")) {
  const line = make("p", "");
  for (const [text, open] of [["Unfold all", true], ["Fold all", false]]) {
    const button = make("button", text, { type: "button", className: "do" });
    button.addEventListener("click", () => all("details", tree).forEach((each) => { each.open = open; }));
    line.append(button, " ");
  }
  tree.before(line);
}

// Commands: to be copied, also where a browser does not give the clipboard to files.
for (const command of all("pre.command")) {
  const button = make("button", "Copy", { type: "button", className: "do" }), said = make("output", "");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      document.execCommand("copy");
    }
    said.textContent = " copied";
  });
  const line = make("p", "");
  line.append(button, said);
  command.after(line);
}

// Charts: drawn when they come into sight, or are printed.
const unpack = async (name) => {
  const letters = atob(document.getElementById(name).textContent);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Colours of the figures, which are on white paper, with as much of the text's colour as makes them visible here.
const LEAST_CONTRAST = 3; // of graphics: level AA of the Web Content Accessibility Guidelines 2.2
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * linear(rgb[i]), 0.05);
const visible = (hex) => {
  const [own, ground, text] = [hex, colour("--ground"), colour("--text")].map(channels);
  const mixed = (share) => own.map((c, i) => Math.round(c + share * (text[i] - c)));
  const contrast = (rgb) => Math.max(light(rgb) / light(ground), light(ground) / light(rgb));
  let share = 0;
  while (share < 1 && contrast(mixed(share)) < LEAST_CONTRAST) share += 0.05;
  return `rgb(${mixed(share)})`;
};
const colourLegends = () => all(".legend path").forEach((path) => ["fill", "stroke"].forEach((name) => {
  path.dataset[name] ??= path.getAttribute(name);
  if (path.dataset[name] !== "none") path.setAttribute(name, visible(path.dataset[name]));
}));
const coloured = (trace) => {
  const parts = ["line", "marker", "error_y"].filter((name) => trace[name]?.color);
  return { ...trace, ...Object.fromEntries(parts.map((name) => [name, { ...trace[name], color: visible(trace[name].color) }])) };
};
const axisOf = (axis) => ({
  automargin: true, gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--faint"), ...axis,
  title: { standoff: 6, ...axis.title },
});
const layoutOf = ({ xaxis, yaxis, ...layout }) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
  font: { family: "system-ui, sans-serif", size: 12, color: colour("--text") },
  hoverlabel: { namelength: -1, align: "left" }, margin: { l: 8, r: 8, t: 8, b: 8 },
  xaxis: axisOf(xaxis), yaxis: axisOf(yaxis), ...layout,
});
const drawAll = async () => {
  const charts = JSON.parse(await unpack("packed-charts"));
  document.head.append(make("script", await unpack("packed-plotly")));
  const draw = (place) => {
    const { data, layout, rows, columns } = charts[place.id];
    if (rows.length) {
      const told = (value) => (value === null ? "missing" : value);
      data[0].text ??= data[0].z.map((row, i) => row.map((value, j) => `${rows[i]}<br>${columns[j]}<br>${told(value)}`));
      data[0].hoverinfo = "text";
    }
    const outline = { color: colour("--faint"), width: 0.75 };
    const traces = data.map(coloured).map((trace) => (trace.marker ? { ...trace, marker: { line: outline, ...trace.marker } } : trace));
    const config = { responsive: true, displayModeBar: false, doubleClick: "reset" };
    place.dataset.drawn = "";
    return Plotly.react(place, traces, layoutOf(layout), config);
  };
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }), { rootMargin: "400px" });
  all(".chart").forEach((place) => seen.observe(place));
  const again = () => {
    colourLegends();
    all(".chart[data-drawn]").forEach(draw);
  };
  colourLegends();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => all(".chart").forEach(draw));
  addEventListener("afterprint", again);
};
if (document.getElementById("packed-charts")) {
  drawAll().catch((error) => all(".chart").forEach((place) => {
    place.replaceChildren(make("p", `This browser cannot draw the chart (${error}).`, { className: "note" }));
  }));
}

// Prints show what is folded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open])");
  folded.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
