// <folder-upload data-url="…"> around a plain multipart form with <input type="file" name="file" multiple>.
// Adds dropping, folders, a list with progress, cancelling, and readable refusals. Paths inside a folder are kept: they
// travel as the file names of the multipart parts.
(() => {
  const MOST_ROWS = 200;
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit++; }
    return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  };

  // Everything below a dropped file or folder, as [path, File]; a directory reader answers in pieces.
  const walk = async (entry, prefix = "") => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      return [[prefix + file.name, file]];
    }
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return found;
      for (const child of some) found.push(...(await walk(child, `${prefix}${entry.name}/`)));
    }
  };

  // One chosen folder is the model itself, so its own name is left out; several keep theirs.
  const withoutTop = (pairs) => {
    const tops = new Set(pairs.map(([path]) => path.split("/")[0]));
    const nested = pairs.every(([path]) => path.includes("/"));
    return tops.size === 1 && nested ? pairs.map(([path, file]) => [path.slice(path.indexOf("/") + 1), file]) : pairs;
  };

  customElements.define("folder-upload", class extends HTMLElement {
    connectedCallback() {
      this.form = this.querySelector("form");
      this.input = this.querySelector("input[type=file]");
      if (!this.form || !this.input || this.files) return;
      this.files = new Map();
      this.build();
      this.form.addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
      addEventListener("beforeunload", (event) => { if (this.request) event.preventDefault(); });
      this.render();
    }

    build() {
      const button = (text, act) => {
        const made = make("button", { type: "button", className: "btn btn-quiet", textContent: text });
        made.addEventListener("click", act);
        return made;
      };
      this.folder = make("input", { type: "file", hidden: true, webkitdirectory: true });
      this.input.required = false;
      this.zone = make("div", { className: "dropzone stack" },
        make("p", { className: "mb-0", textContent: "Drop files or a folder here, or choose them" }),
        make("div", { className: "row-line justify-content-center" },
          button("Choose files", () => this.input.click()),
          button("Choose a folder", () => this.folder.click())));
      this.problem = make("div", { className: "problem", tabIndex: -1, hidden: true });
      this.problem.setAttribute("role", "alert");
      this.list = make("ul", { className: "upload-list", tabIndex: 0 });
      this.list.setAttribute("aria-label", "Chosen files");
      this.total = make("progress", { className: "progress", max: 1, value: 0, hidden: true });
      this.total.setAttribute("aria-label", "All files");
      this.status = make("p", { className: "muted small mb-0" });
      this.status.setAttribute("role", "status");
      this.cancel = button("Cancel upload", () => this.request?.abort());
      this.cancel.hidden = true;
      this.input.hidden = true;
      this.querySelectorAll("[data-fallback]").forEach((part) => (part.hidden = true));
      this.input.before(this.problem, this.zone, this.folder, this.list, this.total, this.status, this.cancel);
      for (const input of [this.input, this.folder]) {
        input.addEventListener("change", () => {
          const pairs = [...input.files].map((file) => [file.webkitRelativePath || file.name, file]);
          input.value = "";
          this.add(withoutTop(pairs));
        });
      }
      for (const name of ["dragover", "dragleave", "drop"]) {
        this.zone.addEventListener(name, (event) => {
          event.preventDefault();
          this.zone.classList.toggle("over", name === "dragover");
        });
      }
      this.zone.addEventListener("drop", async (event) => {
        const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
        try {
          this.add(withoutTop((await Promise.all(entries.map((entry) => walk(entry)))).flat()));
        } catch {
          this.refuse({ title: "Some files could not be read", detail: "Choose them with the buttons instead." });
        }
      });
    }

    add(pairs) {
      if (this.request) return;
      for (const [path, file] of pairs) this.files.set(path, file);
      this.render();
    }

    render() {
      const shown = [...this.files].slice(0, MOST_ROWS);
      this.bars = new Map();
      this.list.replaceChildren(...shown.map(([path, file]) => {
        const remove = make("button", { type: "button", className: "plain small", textContent: "Remove" });
        remove.setAttribute("aria-label", `Remove ${path}`);
        remove.addEventListener("click", () => { this.files.delete(path); this.render(); this.list.focus(); });
        const bar = make("progress", { className: "progress", max: 1, value: 0, hidden: true });
        bar.setAttribute("aria-label", path);
        this.bars.set(path, { bar, remove });
        return make("li", {}, make("span", { className: "mono", textContent: path }),
          make("span", { className: "muted small", textContent: size(file.size) }), remove, bar);
      }));
      const more = this.files.size - shown.length;
      if (more > 0) this.list.append(make("li", { className: "muted", textContent: `and ${more} more` }));
      this.list.hidden = !this.files.size;
      const sum = [...this.files.values()].reduce((all, file) => all + file.size, 0);
      const count = this.files.size;
      this.status.textContent = count ? `${count} file${count === 1 ? "" : "s"}, ${size(sum)}` : "No files chosen yet";
    }

    send() {
      this.problem.hidden = true;
      if (this.request) return;
      if (!this.files.size) return this.refuse({ title: "Choose at least one file" });
      const body = new FormData(this.form);
      body.delete(this.input.name);
      for (const [path, file] of this.files) body.append("file", file, path);
      const request = (this.request = new XMLHttpRequest());
      request.open("POST", this.dataset.url || this.form.action);
      request.setRequestHeader("Accept", "application/json, application/problem+json, text/html;q=0.5");
      request.setRequestHeader("X-CSRFToken", body.get("csrfmiddlewaretoken") || "");
      request.upload.addEventListener("progress", (event) => this.progress(event.loaded, event.total));
      request.addEventListener("load", () => this.answer(request));
      request.addEventListener("error", () => this.refuse({ title: "The connection broke", detail: "Nothing was registered. Check the network and send again." }));
      request.addEventListener("abort", () => this.refuse({ title: "Upload cancelled", detail: "Nothing was registered." }));
      this.busy(true);
      request.send(body);
    }

    busy(on) {
      this.cancel.hidden = this.total.hidden = !on;
      for (const { bar, remove } of this.bars.values()) { bar.hidden = !on; remove.hidden = on; bar.value = 0; }
      for (const button of this.form.querySelectorAll("button:not([type=button])")) button.disabled = on;
      this.zone.hidden = on;
      this.told = -1;
      if (on) this.cancel.focus();
    }

    // The parts travel in order, so what has gone out tells how far each file is.
    progress(loaded, total) {
      const sum = [...this.files.values()].reduce((all, file) => all + file.size, 0);
      let left = total ? (loaded / total) * sum : 0;
      for (const [path, file] of this.files) {
        const sent = Math.min(left, file.size);
        left -= sent;
        const row = this.bars.get(path);
        if (row) row.bar.value = file.size ? sent / file.size : 1;
      }
      this.total.value = total ? loaded / total : 0;
      const tenth = Math.floor(this.total.value * 10);
      if (tenth === this.told) return;
      this.told = tenth;
      this.status.textContent = tenth >= 10 ? "All bytes sent, the registry is checking them" : `${tenth * 10}% of ${size(sum)} sent`;
    }

    answer(request) {
      const type = request.getResponseHeader("Content-Type") || "";
      let told = {};
      if (type.includes("json")) try { told = JSON.parse(request.responseText); } catch { /* told by the status below */ }
      if (request.status >= 200 && request.status < 300) {
        const page = told.page_url || (type.includes("html") ? request.responseURL : request.getResponseHeader("Location"));
        this.request = null;
        return location.assign(page || location.href);
      }
      const page = type.includes("html") ? new DOMParser().parseFromString(request.responseText, "text/html") : null;
      const shown = page?.querySelector("main .problem, main h1")?.textContent.trim().replace(/\s+/g, " ");
      this.refuse({ ...told, title: "Nothing was registered", detail: told.detail || shown || `Status ${request.status}` });
    }

    // A field as the form calls it.
    label(field) {
      return this.querySelector(`label[for="id_${CSS.escape(field)}"]`)?.firstChild.textContent.trim() || field;
    }

    refuse({ title, detail, errors = [], next_step, request_id }) {
      this.request = null;
      this.busy(false);
      this.render();
      const lines = errors.map(({ field, message }) => make("li", {}, field ? make("strong", { textContent: `${this.label(field)}: ` }) : "", message));
      this.problem.replaceChildren(make("h2", { textContent: title }), ...(detail && !lines.length ? [make("p", { className: "mb-0", textContent: detail })] : []),
        ...(lines.length ? [make("ul", {}, ...lines)] : []),
        ...(next_step ? [make("p", { className: "mb-0", textContent: next_step })] : []),
        ...(request_id ? [make("p", { className: "muted small mb-0", textContent: `Reference ${request_id}` })] : []));
      this.problem.hidden = false;
      this.problem.focus();
    }
  });
})();
