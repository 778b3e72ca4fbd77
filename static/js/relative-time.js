// <relative-time><time datetime="…">3 minutes ago</time></relative-time>: the age moves on while the page stays open.
(() => {
  const spans = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];

  const words = (seconds) => {
    for (const [unit, length] of spans) {
      const count = Math.floor(Math.abs(seconds) / length);
      if (!count) continue;
      const told = `${count} ${unit}${count === 1 ? "" : "s"}`;
      return seconds > 0 ? `${told} ago` : `in ${told}`;
    }
    return "just now";
  };

  const update = (element) => {
    const time = element.querySelector("time");
    const told = time && words((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (told && told !== time.textContent) time.textContent = told;
  };

  customElements.define("relative-time", class extends HTMLElement {
    connectedCallback() { update(this); }
  });
  setInterval(() => document.querySelectorAll("relative-time").forEach(update), 60000);
})();
