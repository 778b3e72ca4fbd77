// SHA-256 of files in workers, several at once; and what this browser keeps for a day to go on after a reload: digests of
// files that did not change, and uploads that were begun.
(() => {
  const WORKERS = 3;
  const DAY = 86_400_000;
  // Smaller files are hashed again sooner than looked up.
  const REMEMBERED_FROM = 1 << 20;
  // A file that was written so shortly before may be written again without its time telling.
  const TOO_YOUNG = 2000;

  const memory = {
    read(kind) {
      try {
        const found = Object.entries(JSON.parse(localStorage.getItem(`modelry.${kind}`)) || {});
        return Object.fromEntries(found.filter(([, entry]) => Date.now() - entry.at < DAY));
      } catch { return {}; }
    },
    write(kind, change) {
      const kept = this.read(kind);
      change(kept);
      try { localStorage.setItem(`modelry.${kind}`, JSON.stringify(kept)); } catch { /* It is only quicker with it. */ }
    },
  };

  const name = (path, { size, lastModified }) => `${path}|${size}|${lastModified}`;

  class FileHasher {
    constructor(script) {
      this.script = script;
      this.workers = new Set();
      this.free = [];
      this.known = memory.read("digests");
    }

    // How many files are worth hashing at once.
    static get atOnce() {
      return Math.min(WORKERS, Math.max(1, (navigator.hardwareConcurrency || 2) - 1));
    }

    static forget(pairs) {
      memory.write("digests", (kept) => { for (const [path, file] of pairs) delete kept[name(path, file)]; });
    }

    // The digest; `progress` is told how many bytes are done. Throws Error when the file cannot be read.
    async hash(path, file, progress) {
      const found = this.known[name(path, file)];
      if (found) return found.sha256;
      const worker = this.free.pop() || this.start();
      const sha256 = await new Promise((done, failed) => {
        worker.onerror = () => failed(new Error("The worker that hashes did not start in this browser."));
        worker.onmessage = ({ data }) => {
          if (data.sha256) done(data.sha256);
          else if (data.error) failed(new Error(`${path} cannot be read any more: ${data.error}`));
          else progress(data.done);
        };
        worker.postMessage({ file });
      });
      this.free.push(worker);
      if (file.size >= REMEMBERED_FROM && Date.now() - file.lastModified > TOO_YOUNG) {
        memory.write("digests", (kept) => { kept[name(path, file)] = { sha256, at: Date.now() }; });
      }
      return sha256;
    }

    start() {
      const worker = new Worker(this.script, { type: "module" });
      worker.postMessage({ pause: Boolean(this.isPaused) });
      this.workers.add(worker);
      return worker;
    }

    pause(on) {
      this.isPaused = on;
      this.workers.forEach((worker) => worker.postMessage({ pause: on }));
    }

    stop() {
      this.workers.forEach((worker) => worker.terminate());
      this.workers.clear();
      this.free = [];
    }
  }

  Object.assign(globalThis, { FileHasher, browserMemory: memory });
})();
