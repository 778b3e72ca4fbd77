// <copy-button data-text="…"><button>…</button></copy-button>: copies, and says so.
customElements.define("copy-button", class extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    if (!button || this.status) return;
    this.status = document.createElement("span");
    this.status.setAttribute("role", "status");
    this.append(this.status);
    button.addEventListener("click", async () => {
      const done = await this.copy(this.dataset.text);
      this.status.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (this.status.textContent = ""), 1600);
    });
  }

  async copy(text) {
    if (navigator.clipboard) {
      try { await navigator.clipboard.writeText(text); return true; } catch { /* refused: the old way may still do */ }
    }
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "visually-hidden";
    this.append(box);
    box.select();
    const done = document.execCommand("copy");
    if (done) box.remove(); else box.addEventListener("blur", () => box.remove());
    return done;
  }
});
