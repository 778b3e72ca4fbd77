// Sends files into a version over /api/v1/uploads, as the command-line client does (docs/rest.md): hash in workers, declare,
// send what is not here in parts, a few at once, have it verified. Does not touch the page: whoever shows it looks at
// `files` (state, hashed, sent), `sent` and `waiting`. May be run again after it failed: it goes on with what is missing.
(() => {
  const DECLARED_AT_ONCE = 2000, FILES_AT_ONCE = 100, BUNDLE_FILES = 200, BUNDLE_BYTES = 16 << 20;
  const LANES = 2, REQUESTS = 3, TRIES = 6, LONGEST_PAUSE = 10_000, LOOK_EVERY = 3000;
  const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);

  // What another try does not change; `problem` is the registry's answer, or says the same in its shape.
  class Refused extends Error {
    constructor(problem, status = 0) {
      super(problem.detail || problem.title || `Status ${status}`);
      this.problem = problem;
      this.status = status;
    }
  }
  class Stopped extends Error {}

  const sleep = (time) => new Promise((done) => { setTimeout(done, time); });

  // Do all jobs, so many side by side; the first failure ends it.
  const each = (count, jobs, work) => {
    const left = jobs[Symbol.iterator]();
    let failed = false;
    const one = async () => {
      for (let job = left.next(); !job.done && !failed; job = left.next()) {
        try { await work(job.value); } catch (error) { failed = true; throw error; }
      }
    };
    return Promise.all(Array.from({ length: count }, one));
  };

  const memory = globalThis.browserMemory;

  class UploadSession {
    // `chosen` are [path, File]; `api` and `worker` are addresses, `base` is what the registry's own begin with, `csrf` gives
    // the token of the page's form.
    constructor(chosen, { model, api, worker, base, csrf }) {
      Object.assign(this, { model, api, worker, base, csrf });
      this.files = [...chosen].map(([path, file]) => ({ path, file, size: file.size, state: "waiting", hashed: 0, sent: 0, flying: new Map() }));
      this.total = this.files.reduce((sum, file) => sum + file.size, 0);
      this.key = JSON.stringify([model, this.files.map(({ path, file }) => [path, file.size, file.lastModified]).sort()]);
      this.requests = new Set();
      this.paused = null;
      this.sent = 0;
      this.waiting = "";
    }

    // A short name of what was chosen. Two may share it: what an upload holds is looked at before it is continued.
    get mark() {
      let a = 0x811c9dc5, b = 0x9dc5811c;
      for (const char of this.key) {
        a = Math.imul(a ^ char.codePointAt(0), 0x01000193);
        b = Math.imul(b + char.codePointAt(0), 0x85ebca6b) ^ (b >>> 13);
      }
      return `${(a >>> 0).toString(16)}-${(b >>> 0).toString(16)}-${this.key.length}`;
    }

    // Till all files are here; gives the upload's id. Throws Refused, Stopped.
    async run() {
      this.ended = false;
      try {
        await this.begin();
        this.ready = this.files.filter((file) => file.sha256 && file.state !== "here");
        this.isHashed = false;
        this.twins = new Map();
        this.sleepers = [];
        // Two lanes, so that the last piece of a large file keeps nobody waiting.
        await Promise.all([this.hashAll(), ...Array.from({ length: LANES }, () => this.sendAll())]);
        return this.uid;
      } catch (error) {
        this.stop();
        throw error;
      }
    }

    pause() {
      if (this.paused) return;
      let goOn;
      this.paused = new Promise((done) => { goOn = done; });
      this.goOn = goOn;
      this.hasher?.pause(true);
      this.requests.forEach((request) => request.abort());
    }

    resume() {
      if (!this.paused) return;
      this.paused = null;
      this.hasher?.pause(false);
      this.goOn();
    }

    // End at once; `run` may begin again.
    stop() {
      this.ended = true;
      this.hasher?.stop();
      this.wake();
      this.resume();
      this.requests.forEach((request) => request.abort());
    }

    // End, and let the registry forget what arrived.
    async giveUp() {
      this.stop();
      this.forget();
      if (this.uid) await this.once("DELETE", `${this.api}/${this.uid}`, { headers: { "X-CSRFToken": this.csrf() } }).catch(() => {});
    }

    forget() {
      memory.write("uploads", (kept) => { for (const [key, one] of Object.entries(kept)) if (one.uid === this.uid) delete kept[key]; });
    }

    // Go on with the upload that this browser began for just these files, or begin one.
    async begin() {
      this.uid ||= memory.read("uploads")[this.mark]?.uid || "";
      if (this.uid && await this.continued()) return;
      this.anew();
      this.uid = (await this.ask("POST", "", { model: this.model }, true)).id;
      memory.write("uploads", (kept) => { kept[this.mark] = { uid: this.uid, at: Date.now(), model: this.model, files: this.files.length }; });
    }

    async continued() {
      const by = new Map(this.files.map((file) => [file.path, file]));
      const rows = [];
      try {
        if ((await this.ask("GET", `/${this.uid}`)).sealed) return false;
        for (let page = `/${this.uid}/files?limit=200`; page;) {
          const { items, next } = await this.ask("GET", page);
          rows.push(...items);
          page = next && `/${this.uid}/files${new URL(next, location).search}`;
        }
      } catch (error) {
        if (error.status !== 404) throw error;
        return false;
      }
      const fits = ({ path, sha256, size }) => by.has(path) && by.get(path).size === size && [undefined, sha256].includes(by.get(path).sha256);
      if (!rows.every(fits)) return false;
      for (const row of rows) {
        const file = Object.assign(by.get(row.path), { row, sha256: row.sha256, hashed: row.size });
        if (row.present) this.arrive(file);
      }
      this.isContinued ||= rows.length > 0;
      return true;
    }

    anew() {
      this.uid = "";
      for (const file of this.files) Object.assign(file, { row: undefined, sent: 0, state: file.sha256 ? "hashed" : "waiting" });
    }

    // What arrived was not what was hashed: perhaps a file changed, and its digest was remembered. Next time all anew.
    doubt(files) {
      FileHasher.forget(files.map(({ path, file }) => [path, file]));
      for (const file of files) Object.assign(file, { sha256: undefined, hashed: 0 });
      this.forget();
      this.anew();
      for (const file of files) file.state = "failed";
    }

    arrive(file) {
      file.flying.clear();
      Object.assign(file, { state: "here", sent: file.size });
    }

    // --- Hashing ------------------------------------------------------------------------------------------------

    async hashAll() {
      const hasher = (this.hasher = new FileHasher(this.worker));
      await each(FileHasher.atOnce, this.files.filter((file) => !file.sha256), async (file) => {
        file.state = "hashing";
        try {
          file.sha256 = await hasher.hash(file.path, file.file, (done) => { file.hashed = done; });
        } catch (error) {
          file.state = "failed";
          throw new Refused({ detail: error.message, next_step: "Choose it again." });
        }
        Object.assign(file, { hashed: file.size, state: "hashed" });
        this.ready.push(file);
        this.wake();
      });
      hasher.stop();
      this.isHashed = true;
      this.wake();
    }

    // --- Sending ------------------------------------------------------------------------------------------------

    // Whatever is hashed by then, round after round, while the rest is hashed.
    async sendAll() {
      for (;;) {
        const some = this.ready.splice(0, DECLARED_AT_ONCE);
        if (some.length) await this.sendSome(some);
        else if (this.isHashed) return;
        else await new Promise((done) => { this.sleepers.push(done); });
        if (this.ended) throw new Stopped();
      }
    }

    wake() {
      this.sleepers?.splice(0).forEach((go) => go());
    }

    async sendSome(some) {
      const fresh = some.filter((file) => !file.row);
      if (fresh.length) {
        const files = fresh.map(({ path, sha256, size }) => ({ path, sha256, size }));
        const rows = new Map((await this.ask("POST", `/${this.uid}/files`, { files }, true)).files.map((row) => [row.path, row]));
        for (const file of fresh) {
          file.row = rows.get(file.path);
          file.isSkipped = file.row.present;
          if (file.row.present) this.arrive(file);
        }
      }
      // Equal files are sent once.
      const first = [];
      for (const file of some) {
        if (file.state === "here") continue;
        file.state = "sending";
        const others = this.twins.get(file.sha256);
        if (others) others.push(file); else { this.twins.set(file.sha256, [file]); first.push(file); }
      }
      await each(REQUESTS, bundles(first.filter((file) => file.row.bundle)), (bundle) => this.sendBundle(bundle));
      const large = first.filter((file) => !file.row.bundle);
      for (let at = 0; at < large.length; at += FILES_AT_ONCE) await this.sendLarge(large.slice(at, at + FILES_AT_ONCE));
    }

    whole(file) {
      for (const one of this.twins.get(file.sha256) || [file]) this.arrive(one);
      this.twins.delete(file.sha256);
    }

    async sendBundle(bundle) {
      const body = new FormData();
      for (const { file, sha256 } of bundle) body.append("file", file, sha256);
      const sum = bundle.reduce((all, file) => all + file.size, 0) || 1;
      const progress = (count) => bundle.forEach((file) => this.fly(file, 0, Math.min(file.size, (count / sum) * file.size)));
      await this.request("POST", `${this.api}/${this.uid}/bundle`, { body, progress });
      bundle.forEach((file) => this.whole(file));
    }

    async sendLarge(some) {
      const by = new Map(some.map((file) => [file.sha256, file]));
      for (let again = 0; ;) {
        const { files } = await this.ask("POST", `/${this.uid}/targets`, { sha256: [...by.keys()] });
        const jobs = files.flatMap((one) => one.parts.map((part) => [by.get(one.sha256), part]));
        if (!jobs.length) break;
        for (const one of files) this.placed(by.get(one.sha256), one);
        try {
          await each(REQUESTS, jobs, ([file, part]) => this.sendPart(file, part));
          const last = files.filter((one) => one.missing === one.parts.length).map((one) => one.sha256);
          if (last.length) await this.complete(last);
        } catch (error) {
          // Other bytes than declared, or addresses that were given out too long ago: once more from the start.
          if (![400, 403, 422].includes(error.status)) throw error;
          if (again++) {
            if (error.status !== 403) this.doubt(some);
            throw error;
          }
        }
      }
      await this.complete([...by.keys()]);
      some.forEach((file) => this.whole(file));
    }

    // How much of a file is here already.
    placed(file, { arrived, part_count: count, parts }) {
      file.flying.clear();
      if (!parts.length) { file.sent = file.size; return; }
      const [{ number, start, size }] = parts;
      const partSize = number > 1 ? start / (number - 1) : size;
      const last = file.size - (count - 1) * partSize;
      file.sent = arrived.reduce((sum, one) => sum + (one < count ? partSize : last), 0);
    }

    async sendPart(file, { number, start, size, method, url, headers }) {
      const body = file.file.slice(start, start + size);
      // Our own addresses are asked where this page comes from, whatever name the registry gives itself.
      const address = url.startsWith(this.base) ? url.slice(this.base.length) : url;
      await this.request(method, address, { body, headers, own: false, progress: (count) => this.fly(file, number, Math.min(count, size)) });
      file.flying.delete(number);
      file.sent += size;
    }

    // Have parts put together, and wait while the registry still reads them.
    async complete(digests) {
      for (let pause = 200; ; pause = Math.min(pause * 1.5, LOOK_EVERY)) {
        const { verifying } = await this.ask("POST", `/${this.uid}/complete`, { sha256: digests });
        if (!verifying) return;
        await sleep(pause);
      }
    }

    // `count` bytes of a piece of the file are on their way.
    fly(file, piece, count) {
      const before = file.flying.get(piece) || 0;
      this.sent += Math.max(count - before, 0);
      file.flying.set(piece, count);
    }

    // --- Requests -----------------------------------------------------------------------------------------------

    ask(method, path, body, isRepeatable = false) {
      const headers = body ? { "Content-Type": "application/json" } : {};
      // randomUUID is only there where pages come by TLS.
      if (isRepeatable) headers["Idempotency-Key"] = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return this.request(method, this.api + path, { body: body && JSON.stringify(body), headers });
    }

    // The JSON answer; with growing pauses again where that may help. Throws Refused, Stopped.
    async request(method, url, { body, headers = {}, own = true, progress }) {
      for (let turn = 1; ;) {
        while (this.paused) await this.paused;
        if (this.ended) throw new Stopped();
        const token = own ? { "X-CSRFToken": this.csrf(), Accept: "application/json, application/problem+json" } : {};
        const answer = await this.once(method, url, { body, headers: { ...headers, ...token }, progress });
        if (answer.status >= 200 && answer.status < 300) { this.waiting = ""; return answer.told; }
        progress?.(0);
        if (this.ended) throw new Stopped();
        if (this.paused) continue;
        const underWay = answer.status === 409 && /Idempotency-Key is under way/.test(answer.told.detail);
        if (answer.status && !AGAIN.has(answer.status) && !underWay) throw new Refused(answer.told, answer.status);
        if (turn >= TRIES) throw new Refused(answer.status ? answer.told : lost(url), answer.status);
        this.waiting = answer.told.detail || "The connection was lost";
        await sleep(Math.max(Math.min(250 * 2 ** turn, LONGEST_PAUSE), Math.min(answer.after, 60) * 1000));
        turn++;
      }
    }

    // One try: status 0 when nothing came back.
    once(method, url, { body, headers = {}, progress }) {
      return new Promise((done) => {
        const request = new XMLHttpRequest();
        this.requests.add(request);
        request.open(method, url);
        for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
        if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
        request.addEventListener("loadend", () => {
          this.requests.delete(request);
          let told = {};
          try { told = JSON.parse(request.responseText) || {}; } catch { /* told by the status */ }
          done({ status: request.status, told, after: Number(request.status && url.startsWith("/") && request.getResponseHeader("Retry-After")) || 0 });
        });
        request.send(body || null);
      });
    }
  }

  const lost = (url) => {
    const away = new URL(url, location).origin !== location.origin;
    return {
      detail: away ? `The store at ${new URL(url).host} does not answer this page.` : "The registry cannot be reached.",
      next_step: away ? "It may be down, or not allow pages of this address (CORS)." : "Check the network, then go on: what arrived is kept for a day.",
    };
  };

  const bundles = (files) => {
    const made = [];
    let room = 0;
    for (const file of files) {
      if (!made.length || made.at(-1).length >= BUNDLE_FILES || room < file.size) { made.push([]); room = BUNDLE_BYTES; }
      made.at(-1).push(file);
      room -= file.size;
    }
    return made;
  };

  Object.assign(globalThis, { UploadSession, UploadRefused: Refused, unfinishedUploads: (model) => Object.values(memory.read("uploads")).filter((one) => one.model === model) });
})();
