// <compare-select data-url="…/compare/"> around a form of ticked versions: a bar that opens their comparison.
customElements.define("compare-select", class extends HTMLElement {
  connectedCallback() {
    this.querySelectorAll("[data-fallback]").forEach((button) => (button.hidden = true));
    this.bar = document.createElement("div");
    this.bar.className = "compare-bar";
    this.bar.hidden = true;
    this.status = document.createElement("span");
    this.status.setAttribute("role", "status");
    this.go = this.button("Compare", "btn btn-primary", () => this.compare());
    const clear = this.button("Clear", "btn btn-quiet", () => {
      this.ticked().forEach((box) => (box.checked = false));
      this.update();
      this.querySelector("input[type=checkbox]")?.focus();
    });
    this.bar.append(this.status, this.go, clear);
    this.append(this.bar);
    this.addEventListener("change", () => this.update());
    this.addEventListener("submit", (event) => { event.preventDefault(); this.compare(); });
    this.update();
  }

  button(text, look, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = look;
    button.textContent = text;
    button.addEventListener("click", act);
    return button;
  }

  ticked() { return [...this.querySelectorAll("input[type=checkbox]:checked")]; }

  numbers() { return this.ticked().map((box) => Number(box.value)).sort((a, b) => a - b); }

  update() {
    const numbers = this.numbers();
    const fits = numbers.length >= 2 && numbers.length <= 4;
    const named = numbers.map((number) => `v${number}`).join(", ");
    const hint = numbers.length < 2 ? ": tick one more to compare" : fits ? "" : ": untick some, four at most";
    this.bar.hidden = numbers.length === 0;
    this.status.textContent = numbers.length ? `${named} ticked${hint}` : "";
    this.go.disabled = !fits;
  }

  compare() {
    const numbers = this.numbers();
    if (numbers.length >= 2 && numbers.length <= 4) location.assign(`${this.dataset.url}${numbers.join("...")}/`);
  }
});
