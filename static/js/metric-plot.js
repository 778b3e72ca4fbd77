// <metric-plot aria-label="…"><script type="application/json">{x_label, series: [{name, x: [], y: []}]}</script></metric-plot>
// With `time`, x is seconds of Unix; `marks` ({x, label}) and `levels` ({y, label}) are drawn as lines.
// Curves over steps, with a button that shows the same numbers as a table.
(() => {
  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
  const MOST_ROWS = 200;
  // How an axis tells the time: from so many seconds between ticks on, usually, and where a new year, month, day, hour or
  // minute begins.
  const DAY = "\n{YYYY}-{MM}-{DD}";
  const TIMES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
    [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", DAY, null, DAY, null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", DAY, null, DAY, null, null, null, 1],
    [0.001, "{HH}:{mm}:{ss}.{fff}", DAY, null, DAY, null, null, null, 1],
  ];
  // Above the curves: room for two lines of labels.
  const ROW = 13, ABOVE = 2 * ROW + 2;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => (value == null ? "–" : Number(value.toPrecision(Math.abs(value) < 1000 ? 4 : 7)).toString());

  customElements.define("metric-plot", class extends HTMLElement {
    connectedCallback() {
      const source = this.querySelector("script[type='application/json']");
      if (!source || this.canvas) return;
      const { x_label = "Step", series, time = false, marks = [], levels = [] } = JSON.parse(source.textContent);
      Object.assign(this, { xLabel: x_label, isTime: time, marks, levels });
      this.names = series.map((one) => one.name);
      this.data = series.length > 1 ? uPlot.join(series.map((one) => [one.x, one.y])) : [series[0]?.x ?? [], series[0]?.y ?? []];
      if (!this.data[0].length) return;
      this.canvas = document.createElement("div");
      this.canvas.className = "plot";
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", `${this.getAttribute("aria-label") || "Curve"}, shown as a picture`);
      this.append(this.canvas, this.toggle());
      this.draw();
      new ResizeObserver(() => this.plot.setSize({ width: this.canvas.clientWidth, height: 240 })).observe(this.canvas);
      new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    }

    draw() {
      this.plot?.destroy();
      const colours = ["--plot-1", "--plot-2", "--plot-3", "--plot-4"].map(token);
      const axis = { stroke: token("--muted"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line"), width: 1 } };
      this.plot = new uPlot({
        width: this.canvas.clientWidth || 600,
        height: 240,
        ...(this.marks.length && { padding: [ABOVE, null, null, null] }),
        scales: { x: { time: this.isTime, range: (_, least, most) => this.span(least, most) }, y: { range: (_, least, most) => this.range(least, most) } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        hooks: { draw: [(plot) => this.lines(plot)] },
        axes: [{ ...axis, label: this.xLabel, labelSize: 20, ...(this.isTime && { values: TIMES }) }, { ...axis, size: 64 }],
        cursor: { y: false },
        series: [
          this.isTime ? { label: this.xLabel, value: "{YYYY}-{MM}-{DD} {HH}:{mm}" } : { label: this.xLabel },
          ...this.names.map((name, i) => ({
            label: name,
            stroke: colours[i % 4],
            dash: DASHES[i % 4],
            width: 2,
            spanGaps: true,
            points: { show: this.data[0].length < 40 },
            value: (_, value) => number(value),
          })),
        ],
      }, this.data, this.canvas);
    }

    range(least, most) {
      const values = [least, most, ...this.levels.map((one) => one.y)].filter((one) => one != null);
      return uPlot.rangeNum(Math.min(...values), Math.max(...values), 0.1, true);
    }

    // All of the data is shown with its marks, one point with room around it; what somebody zoomed into stays as it is.
    span(least, most) {
      const xs = this.data[0], first = xs[0], last = xs.at(-1);
      if (xs.length > 1 && (least !== first || most !== last)) return [least, most];
      const room = xs.length > 1 ? 0 : this.isTime ? 900 : 1;
      const there = [first - room, last + room, ...this.marks.map((one) => one.x)];
      return [Math.min(...there), Math.max(...there)];
    }

    // The marks with their places; those that lie close are one, as long as its label `fits`: “v9 promoted, live in eu”.
    grouped(plot, fits) {
      const found = [];
      for (const { x, label } of [...this.marks].sort((one, other) => one.x - other.x)) {
        const at = plot.valToPos(x, "x", true), last = found.at(-1), [subject] = label.split(" ");
        const joined = last && `${last.label}, ${last.subject === subject ? label.slice(subject.length + 1) : label}`;
        if (last && at - last.at < 8 * uPlot.pxRatio && fits(joined)) Object.assign(last, { label: joined, subject });
        else found.push({ at, label, subject });
      }
      return found;
    }

    lines(plot) {
      const { ctx, bbox } = plot;
      const ratio = uPlot.pxRatio, row = ROW * ratio, right = bbox.left + bbox.width, bottom = bbox.top + bbox.height;
      ctx.save();
      ctx.font = `${11 * ratio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      ctx.lineJoin = "round";
      const line = (x1, y1, x2, y2) => {
        ctx.strokeStyle = token("--muted");
        ctx.lineWidth = ratio;
        ctx.setLineDash([4 * ratio, 4 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x1, y1);
        ctx.lineTo(x2, y2);
        ctx.stroke();
      };
      const write = (label, x, y) => {
        ctx.strokeStyle = token("--ground");
        ctx.lineWidth = 3 * ratio;
        ctx.setLineDash([]);
        ctx.strokeText(label, x, y);
        ctx.fillStyle = token("--muted");
        ctx.fillText(label, x, y);
      };
      for (const { y, label } of this.levels) {
        const at = plot.valToPos(y, "y", true), isHigh = at - bbox.top < row;
        line(bbox.left, at, right, at);
        ctx.textBaseline = isHigh ? "top" : "bottom";
        write(label, right - ctx.measureText(label).width - 4 * ratio, at + (isHigh ? 3 : -3) * ratio);
      }
      // What happened at nearly the same time has one label; labels that would meet stand below each other; where there is
      // no room left, the words below the picture tell.
      ctx.textBaseline = "top";
      const top = bbox.top - ABOVE * ratio, ends = [];
      for (const { at, label } of this.grouped(plot, (text) => ctx.measureText(text).width + 8 * ratio < bbox.width)) {
        if (at < bbox.left || at > right) continue;
        const width = ctx.measureText(label).width + 4 * ratio;
        const isInside = at + 4 * ratio + width <= right;
        const start = isInside ? at + 4 * ratio : at - width >= bbox.left ? at - width : right - width;
        let place = ends.findIndex((end) => end < start);
        if (place < 0) place = ends.length;
        // From its own label on, not through those above.
        line(at, Math.min(top + place * row, bbox.top), at, bottom);
        if (start < bbox.left || top + (place + 1) * row > bottom) continue;
        ends[place] = start + width;
        write(label, start, top + place * row);
      }
      ctx.restore();
    }

    toggle() {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-quiet btn-sm";
      const show = (asTable) => {
        button.textContent = asTable ? "Show as picture" : "Show as table";
        this.canvas.hidden = asTable;
        if (asTable && !this.table) button.before((this.table = this.asTable()));
        if (this.table) this.table.hidden = !asTable;
      };
      show(false);
      button.addEventListener("click", () => show(!this.canvas.hidden));
      return button;
    }

    asTable() {
      const [xs, ...columns] = this.data;
      const every = Math.ceil(xs.length / MOST_ROWS);
      const table = document.createElement("table");
      table.className = "table";
      const caption = every > 1 ? `${this.getAttribute("aria-label") || ""} (every ${every}th of ${xs.length} points)` : this.getAttribute("aria-label") || "";
      table.createCaption().textContent = caption;
      const row = (section, cells, tag) => {
        const line = section.insertRow();
        cells.forEach((text, i) => {
          const cell = document.createElement(i === 0 || tag === "th" ? "th" : "td");
          if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row";
          if (i > 0) cell.className = "num";
          cell.textContent = text;
          line.append(cell);
        });
      };
      row(table.createTHead(), [this.xLabel, ...this.names], "th");
      const body = table.createTBody();
      xs.forEach((x, i) => { if (i % every === 0 || i === xs.length - 1) row(body, [this.isTime ? new Date(x * 1000).toISOString().slice(0, 16).replace("T", " ") : String(x), ...columns.map((y) => number(y[i]))], "td"); });
      const wrap = document.createElement("div");
      wrap.className = "table-wrap tall";
      wrap.tabIndex = 0;
      wrap.setAttribute("role", "region");
      wrap.setAttribute("aria-label", `${this.getAttribute("aria-label") || "Curve"} as table`);
      wrap.append(table);
      return wrap;
    }
  });
})();
