// <lineage-graph aria-label="…"><script type="application/json">{nodes, edges}</script></lineage-graph>
// nodes: {id, kind, label, detail?, url?, current?, warning?}; edges: {source, target, label?}.
// Drawn left to right; the same edges stand below as a table, so nothing is lost without this picture.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (name, attributes = {}, ...children) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const pen = document.createElement("canvas").getContext("2d");
  const shorten = (text, limit) => (text.length > limit ? `${text.slice(0, limit - 1)}…` : text);

  const width = (text, font) => {
    pen.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
    return pen.measureText(text).width;
  };

  // A smooth line through the points dagre found.
  const path = (points) => {
    const [first, ...rest] = points;
    let line = `M${first.x},${first.y}`;
    for (let i = 0; i < rest.length - 1; i++) {
      const middle = { x: (rest[i].x + rest[i + 1].x) / 2, y: (rest[i].y + rest[i + 1].y) / 2 };
      line += ` Q${rest[i].x},${rest[i].y} ${middle.x},${middle.y}`;
    }
    const last = rest[rest.length - 1];
    return `${line} L${last.x},${last.y}`;
  };

  customElements.define("lineage-graph", class extends HTMLElement {
    connectedCallback() {
      const source = this.querySelector("script[type='application/json']");
      if (!source || this.querySelector("svg")) return;
      const { nodes, edges } = JSON.parse(source.textContent);
      if (nodes.length) this.append(this.picture(nodes, edges));
      // On a narrow screen the picture scrolls; start where the reader's version is.
      const here = this.querySelector(".node-current");
      if (here) this.scrollLeft = here.getBBox().x + here.getBBox().width / 2 - this.clientWidth / 2;
    }

    picture(nodes, edges) {
      const graph = new dagre.graphlib.Graph({ multigraph: true });
      graph.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 56, marginx: 8, marginy: 8 });
      graph.setDefaultEdgeLabel(() => ({}));
      for (const node of nodes) {
        const label = shorten(node.label, 34);
        const kind = shorten(node.detail ? `${node.kind} · ${node.detail}` : node.kind, 40);
        const needed = Math.max(width(label, "600 13px"), width(kind, "400 11px")) + 24;
        graph.setNode(String(node.id), { node, label, kind, width: Math.max(needed, 90), height: 44 });
      }
      edges.forEach((edge, i) => {
        const known = graph.hasNode(String(edge.source)) && graph.hasNode(String(edge.target));
        if (known) graph.setEdge(String(edge.source), String(edge.target), { text: edge.label || "" }, String(i));
      });
      dagre.layout(graph);
      const size = graph.graph();
      const head = draw("marker", { id: "lineage-head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
        draw("path", { class: "edge-head", d: "M0,0 L8,4 L0,8 z" }));
      // A picture a little too wide shrinks; a much wider one scrolls, so that its words stay readable.
      const room = this.clientWidth;
      const scale = size.width > room && size.width < room * 1.5 ? room / size.width : 1;
      const svg = draw("svg", { role: "group", "aria-label": this.getAttribute("aria-label") || "Lineage", width: size.width * scale, height: size.height * scale, viewBox: `0 0 ${size.width} ${size.height}`, preserveAspectRatio: "xMinYMin" }, draw("defs", {}, head));
      for (const key of graph.edges()) {
        const edge = graph.edge(key);
        const line = draw("path", { class: "edge", d: path(edge.points), "marker-end": "url(#lineage-head)" });
        if (edge.text) line.append(draw("title", {}, edge.text));
        svg.append(line);
      }
      const placed = graph.nodes().map((id) => graph.node(id));
      placed.sort((a, b) => a.x - b.x || a.y - b.y);
      for (const place of placed) svg.append(this.box(place));
      return svg;
    }

    box({ node, label, kind, x, y, width: wide, height: tall }) {
      const look = node.current ? "node-current" : node.warning ? "node-warning" : "";
      const parts = [
        draw("title", {}, [node.kind, node.label, node.detail, node.warning].filter(Boolean).join(": ")),
        draw("rect", { x: x - wide / 2, y: y - tall / 2, width: wide, height: tall, rx: 6 }),
        draw("text", { class: "kind", x: x - wide / 2 + 12, y: y - 5 }, kind),
        draw("text", { x: x - wide / 2 + 12, y: y + 12 }, label),
      ];
      const linked = node.url && !node.current;
      return linked ? draw("a", { href: node.url, class: look }, ...parts) : draw("g", { class: look }, ...parts);
    }
  });
})();
