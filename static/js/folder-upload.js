// <folder-upload data-model data-url data-api data-base data-worker> around a plain multipart form with
// <input type="file" name="file" multiple>. Adds dropping, folders, and sending by upload-session.js with a list that shows
// how far it is, pausing, going on after a reload, and readable refusals. Paths inside a folder are kept.
(() => {
  const MOST_ROWS = 200;
  const CHECKED_AT_ONCE = 5000;
  const LOOK_EVERY = 250;
  const ACTIVE = ["hashing", "sending", "failed"];
  // The speed is that of so many seconds.
  const RECENT = 10;
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
      return [[prefix + entry.name, file]];
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

  const duration = (seconds) => {
    if (!seconds || !Number.isFinite(seconds)) return "";
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min left`;
    return `${(seconds / 3600).toFixed(1)} h left`;
  };

  const count = (number, what = "file") => `${number.toLocaleString()} ${what}${number === 1 ? "" : "s"}`;
  const percent = (part, all) => (all ? Math.floor((part / all) * 100) : 100);
  const gone = (file) => Math.min(file.size, file.sent + [...file.flying.values()].reduce((sum, bytes) => sum + bytes, 0));
  const words = (file) => {
    if (file.state === "here") return file.isSkipped ? "already in the registry" : "sent";
    if (file.state === "hashing") return `hashing ${percent(file.hashed, file.size)}%`;
    if (file.state === "sending") return file.size && gone(file) === file.size ? "being checked" : `sending ${percent(gone(file), file.size)}%`;
    return { waiting: "waiting", hashed: "hashed", failed: "failed" }[file.state];
  };

  customElements.define("folder-upload", class extends HTMLElement {
    connectedCallback() {
      this.form = this.querySelector("form");
      this.input = this.querySelector("input[type=file]");
      if (!this.form || !this.input || this.files) return;
      this.files = new Map();
      this.build();
      this.form.addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
      addEventListener("beforeunload", (event) => { if (this.isBusy) event.preventDefault(); });
      addEventListener("online", () => { if (this.isLost) this.send(); });
      this.render();
      const [left] = unfinishedUploads(this.dataset.model);
      if (left) this.status.textContent = `An upload of ${count(left.files)} was interrupted here. Choose the same again to go on with what arrived.`;
    }

    build() {
      const button = (text, act, kind = "btn-quiet") => {
        const made = make("button", { type: "button", className: `btn ${kind}`, textContent: text });
        made.addEventListener("click", act);
        return made;
      };
      this.folder = make("input", { type: "file", hidden: true, webkitdirectory: true });
      this.input.required = false;
      this.zone = make("div", { className: "dropzone stack" },
        make("p", { className: "mb-0", textContent: "Drop files or a folder here, or choose them" }),
        make("div", { className: "row-line justify-content-center" },
          button("Choose a folder", () => this.folder.click()),
          button("Choose files", () => this.input.click())));
      this.problem = make("div", { className: "problem", tabIndex: -1, hidden: true });
      this.problem.setAttribute("role", "alert");
      this.list = make("ul", { className: "upload-list", tabIndex: 0 });
      this.list.setAttribute("aria-label", "Chosen files");
      this.bar = make("progress", { className: "progress", max: 1, value: 0 });
      this.bar.setAttribute("aria-label", "All files");
      this.figures = make("p", { className: "upload-figures mb-0" });
      this.status = make("p", { className: "muted small mt-2 mb-0" });
      this.status.setAttribute("role", "status");
      this.pauser = button("Pause", () => this.pause());
      this.again = button("Go on", () => this.send(), "btn-primary");
      this.cancel = button("Cancel upload", () => this.giveUp());
      this.again.hidden = true;
      this.running = make("div", { className: "upload-running stack", hidden: true }, this.bar, this.figures,
        make("div", { className: "row-line" }, this.again, this.pauser, this.cancel));
      this.input.hidden = true;
      this.querySelectorAll("[data-fallback]").forEach((part) => (part.hidden = true));
      this.input.before(this.problem, this.zone, this.folder, this.running, this.status, this.list);
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
      if (this.session) return;
      const more = pairs.map(([path, file]) => [path.normalize("NFC"), file]);
      const replaced = more.filter(([path]) => this.files.has(path)).length;
      const hidden = more.filter(([path]) => /(^|\/)\./.test(path)).length;
      this.files = new Map([...this.files, ...more].sort(([one], [other]) => (one < other ? -1 : 1)));
      this.render();
      const told = [this.status.textContent];
      if (!more.length) told.push("There was no file in that");
      if (replaced) told.push(`${count(replaced)} took the place of one with the same path`);
      if (hidden) told.push(`${count(hidden, "hidden file")} among them (like .git): a version cannot be changed later`);
      this.tell(told.join(". "));
    }

    render() {
      const shown = [...this.files].slice(0, MOST_ROWS);
      this.rows = new Map();
      this.list.replaceChildren(...shown.map(([path, file]) => this.row(path, file.size)));
      this.rest = make("li", { className: "muted" });
      this.list.append(this.rest);
      this.rest.hidden = this.files.size <= shown.length;
      this.rest.textContent = `and ${count(this.files.size - shown.length, "more file")}`;
      this.list.hidden = !this.files.size;
      const sum = [...this.files.values()].reduce((all, file) => all + file.size, 0);
      this.status.textContent = this.files.size ? `${count(this.files.size)}, ${size(sum)}` : "No files chosen yet";
    }

    row(path, bytes) {
      const remove = make("button", { type: "button", className: "plain small", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove ${path}`);
      remove.addEventListener("click", () => { this.files.delete(path); this.render(); this.list.focus(); });
      const bar = make("progress", { className: "progress", max: 1, value: 0, hidden: true });
      bar.setAttribute("aria-label", path);
      const state = make("span", { className: "muted small upload-state" });
      const row = make("li", {}, make("span", { className: "mono", textContent: path }), state,
        make("span", { className: "muted small", textContent: size(bytes) }), remove, bar);
      this.rows.set(path, { row, bar, state, remove });
      return row;
    }

    // --- Sending ------------------------------------------------------------------------------------------------

    // The form's fields are checked before anything is sent, and may still be changed till all is here.
    async send() {
      if (this.isBusy) return;
      this.problem.hidden = true;
      if (!this.files.size) return this.refuse({ title: "Choose at least one file" });
      this.begin();
      try {
        await this.check();
        const uid = await this.session.run();
        this.tell("All files are here. Registering the version.");
        const { page_url: page } = await this.post("upload", uid);
        this.session.forget();
        this.isBusy = false;
        location.assign(page);
      } catch (error) {
        if (this.session) this.failed(error);
      } finally {
        clearInterval(this.looking);
      }
    }

    begin() {
      this.session ||= new UploadSession(this.files, { ...this.dataset, csrf: () => this.token });
      this.session.ended = false;
      this.isBusy = true;
      this.isLost = false;
      this.samples = [];
      this.told = -1;
      this.zone.hidden = this.again.hidden = true;
      this.running.hidden = this.pauser.hidden = false;
      for (const { bar, remove } of this.rows.values()) { remove.hidden = true; bar.hidden = false; }
      for (const button of this.form.querySelectorAll("button:not([type=button])")) button.disabled = true;
      this.looking = setInterval(() => this.look(), LOOK_EVERY);
      this.tell(`Sending ${count(this.files.size)}, ${size(this.session.total)}`);
      // The button that began it is far below, and cannot be pressed now: what moves is here.
      this.pauser.focus();
      this.running.scrollIntoView({ block: "center" });
    }

    get token() {
      return this.form.elements.csrfmiddlewaretoken.value;
    }

    // Fields and names, before anything is hashed.
    async check() {
      const paths = [...this.files.keys()];
      for (let at = 0; at < paths.length; at += CHECKED_AT_ONCE) {
        await this.post("paths", JSON.stringify(paths.slice(at, at + CHECKED_AT_ONCE)));
      }
    }

    // The form without its files, and what it is sent for.
    async post(name, value) {
      const body = new FormData(this.form);
      body.delete(this.input.name);
      body.set(name, value);
      const headers = { Accept: "application/json, application/problem+json", "X-CSRFToken": this.token };
      const told = await this.session.request("POST", this.dataset.url, { body, headers, own: false });
      if (told.checked || told.page_url) return told;
      throw new UploadRefused({ detail: "You are logged out.", next_step: "Log in in another tab, then go on here." }, 401);
    }

    pause() {
      const on = !this.session.paused;
      if (on) this.session.pause(); else this.session.resume();
      this.pauser.textContent = on ? "Resume" : "Pause";
      this.samples = [];
      this.look();
      this.tell(on ? "Paused. What arrived whole is kept for a day; parts under way are sent again." : "Going on");
    }

    async giveUp() {
      const { session } = this;
      this.session = null;
      this.settle();
      await session.giveUp();
      this.render();
      this.tell("Upload cancelled: nothing was registered.");
    }

    settle() {
      clearInterval(this.looking);
      this.isBusy = false;
      this.pauser.textContent = "Pause";
      this.zone.hidden = Boolean(this.session);
      this.running.hidden = !this.session;
      for (const button of this.form.querySelectorAll("button:not([type=button])")) button.disabled = false;
    }

    // --- How far it is ------------------------------------------------------------------------------------------

    look() {
      const { files, total, paused, waiting } = this.session;
      const done = files.reduce((sum, file) => sum + gone(file), 0);
      const hashed = files.reduce((sum, file) => sum + file.hashed, 0);
      this.bar.value = total ? done / total : 0;
      for (const file of files) this.show(file);
      const left = this.estimate(done, hashed, total);
      const parts = [`${size(done)} of ${size(total)}`];
      if (hashed < total) parts.push(`hashed ${percent(hashed, total)}%`);
      if (paused) parts.push("paused"); else if (waiting) parts.push(`${waiting.replace(/\.$/, "")}: trying again`); else parts.push(...left);
      this.figures.textContent = parts.filter(Boolean).join(" · ");
      const tenth = Math.floor(this.bar.value * 10);
      if (tenth <= this.told) return;
      if (this.told < 0 && this.session.isContinued) this.tell(`Going on with what was interrupted: ${size(done)} are here already`);
      else if (tenth > 0) this.tell(tenth >= 10 ? "All bytes sent, the registry is checking them" : `${tenth * 10}% of ${size(total)} sent`);
      if (done) this.told = tenth;
    }

    // Speed and time left, from the last seconds. Only time in which something was sent tells how fast that goes; else it
    // waits for hashing.
    estimate(done, hashed, total) {
      const { sent, requests } = this.session;
      const now = performance.now() / 1000;
      const before = this.samples.at(-1) || { now, busy: 0 };
      this.samples.push({ now, sent, hashed, busy: before.busy + (requests.size ? now - before.now : 0) });
      while (this.samples.length > 2 && now - this.samples[0].now > RECENT) this.samples.shift();
      const first = this.samples[0], last = this.samples.at(-1);
      if (now - first.now < 1) return [];
      const speed = last.busy - first.busy > 0.5 ? (sent - first.sent) / (last.busy - first.busy) : 0;
      const hashing = hashed < total ? (total - hashed) / ((hashed - first.hashed) / (now - first.now)) : 0;
      return [speed ? `${size(speed)}/s` : "", done < total ? duration(Math.max(speed ? (total - done) / speed : 0, hashing)) : ""];
    }

    // Files under way get a row where the list is too long for all.
    show(file) {
      if (!this.rows.has(file.path)) {
        if (!ACTIVE.includes(file.state)) return;
        const [[oldest, { row: last }]] = this.rows;
        if (ACTIVE.includes(last.dataset.state)) return;
        last.remove();
        this.rows.delete(oldest);
        this.list.prepend(this.row(file.path, file.size));
        const { bar, remove } = this.rows.get(file.path);
        bar.hidden = !(remove.hidden = true);
      }
      const { row, bar, state } = this.rows.get(file.path);
      const text = words(file);
      if (state.textContent === text) return;
      state.textContent = text;
      row.dataset.state = file.state;
      bar.value = file.state === "here" || !file.size ? 1 : (file.state === "hashing" ? file.hashed : gone(file)) / file.size;
    }

    tell(text) {
      this.status.textContent = text;
    }

    // --- What went wrong ----------------------------------------------------------------------------------------

    async failed(error) {
      if (!(error instanceof UploadRefused)) { this.settle(); throw error; }
      const { status, problem } = error;
      const isField = status === 422 && problem.errors?.some(({ field }) => this.querySelector(`#id_${CSS.escape(field)}`));
      this.look();
      this.isLost = !status;
      if (!this.session.uid) this.session = null;
      this.settle();
      if (!this.session) this.render();
      this.again.hidden = isField;
      this.again.textContent = "Go on";
      this.pauser.hidden = true;
      if (status === 401 || status === 403) await this.renew();
      this.refuse({ ...problem, title: isField ? "Nothing is registered yet" : "The upload stopped", detail: problem.detail || `Status ${status}` });
      if (this.session) this.tell("Stopped. What arrived is kept for a day.");
    }

    // Who logged in again, perhaps in another tab, has another token.
    async renew() {
      const page = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(page, "text/html").querySelector("folder-upload [name=csrfmiddlewaretoken]");
      if (fresh) this.form.elements.csrfmiddlewaretoken.value = fresh.value;
    }

    // A field as the form calls it.
    label(field) {
      return this.querySelector(`label[for="id_${CSS.escape(field)}"]`)?.firstChild.textContent.trim() || field;
    }

    refuse({ title, detail, errors = [], next_step, request_id }) {
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
