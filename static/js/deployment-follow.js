// <deployment-follow data-url="…">: while a deployment goes on, its state and steps are replaced as they change and new lines
// of its log are added, so that who listens hears only what is new. It ends with the deployment. With data-at-end its log
// is shown from its end, which says why it failed.
(() => {
  const EVERY = 1500;
  const SLOWEST = 15000;

  customElements.define("deployment-follow", class extends HTMLElement {
    connectedCallback() {
      this.pause = EVERY;
      const log = this.part("lines");
      if (this.dataset.atEnd !== undefined) log.scrollTop = log.scrollHeight;
      if (this.dataset.url) this.next();
    }

    disconnectedCallback() { clearTimeout(this.timer); }

    part(name, root = this) { return root.querySelector(`[data-part="${name}"]`); }

    next() { this.timer = setTimeout(() => this.look(), this.pause); }

    async look() {
      if (document.hidden) { this.next(); return; }
      try {
        const answer = await fetch(`${this.dataset.url}?after=${this.part("lines").dataset.last}`, { headers: { Accept: "text/html" } });
        if (answer.redirected || answer.status === 404) return;
        if (!answer.ok) throw new Error(answer.status);
        this.take(new DOMParser().parseFromString(await answer.text(), "text/html"));
        this.pause = EVERY;
      } catch {
        this.pause = Math.min(this.pause * 2, SLOWEST);
      }
      if (this.part("lines").dataset.follows !== undefined) this.next();
    }

    take(found) {
      for (const name of ["state", "steps", "acts"]) {
        const [here, there] = [this.part(name), this.part(name, found)];
        // Forms carry another token each time; and where somebody types, nothing is taken away.
        const same = name === "acts" ? here.textContent === there.textContent : here.innerHTML === there.innerHTML;
        if (!same && !here.contains(document.activeElement)) here.replaceChildren(...there.childNodes);
      }
      const [log, more] = [this.part("lines"), this.part("lines", found)];
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      if (more.children.length) this.part("no-lines")?.remove();
      log.append(...more.children);
      log.dataset.last = more.dataset.last;
      if (more.dataset.follows === undefined) delete log.dataset.follows;
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
  });
})();
