// What every page does: keys, dialogs, menus, and the focus after an answer. Nothing here is needed for reading.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- Dialogs and menus ---------------------------------------------------------------------------------

  const openDialog = (id) => {
    const dialog = document.getElementById(id);
    if (dialog && !dialog.open) dialog.showModal();
  };

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener && document.getElementById(opener.dataset.dialog)) {
      event.preventDefault();
      openDialog(opener.dataset.dialog);
    }
    event.target.closest("[data-close]")?.closest("dialog").close();
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
  });

  // A second click on a button that changes something must not do it twice.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 4000);
  });

  // Addresses that MLflow's client prints lie behind a “#”, which only the browser sees.
  const [, run] = location.hash.match(/^#\/experiments\/\d+\/runs\/([0-9a-f]{32})/) ?? [];
  const [, name, number] = location.hash.match(/^#\/models\/([^/]+)\/versions\/(\d+)/) ?? [];
  if (run) location.replace(`/runs/${run}/`);
  else if (name) location.replace(`/models/${name.replace("--", "/")}@${number}/`);

  const focusAnswer = (root) => $("[data-focus]", root)?.focus();
  document.addEventListener("htmx:after:swap", () => focusAnswer(document));
  focusAnswer(document);
  for (const button of $$(".foot [data-dialog]")) button.hidden = false;

  // --- Keys ----------------------------------------------------------------------------------------------

  const rows = () => $$("[data-rows] > *, tbody > tr").filter((row) => $("[data-open]", row) && row.getClientRects().length);
  const current = () => $("[data-current]");

  const moveTo = (row) => {
    if (!row) return;
    current()?.removeAttribute("data-current");
    row.setAttribute("data-current", "");
    $("[data-open]", row).focus();
    row.scrollIntoView({ block: "nearest" });
  };

  const step = (by) => {
    const all = rows();
    const at = all.findIndex((row) => row.contains(document.activeElement) || row === current());
    moveTo(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]);
  };

  const places = {
    m: () => location.assign(document.body.dataset.modelsUrl),
    a: () => location.assign(document.body.dataset.approvalsUrl),
    d: () => location.assign(document.body.dataset.deploymentsUrl),
  };
  const keys = {
    "/": () => { const box = $("[data-search]"); box?.focus(); box?.select(); },
    "?": () => openDialog("keyboard-help"),
    j: () => step(1),
    k: () => step(-1),
    x: () => { const row = current(); if (row) $("input[type=checkbox]", row)?.click(); },
    c: () => $("compare-select")?.compare?.(),
  };
  let going = 0;

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = $("details.menu[open]");
      if (menu) { menu.open = false; $("summary", menu).focus(); }
      return;
    }
    const target = event.target;
    const typing = target.isContentEditable || (target.matches("input, textarea, select") && target.type !== "checkbox");
    if (document.body.dataset.hotkeys === "off" || typing || $("dialog[open]")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const act = Date.now() - going < 1500 ? places[event.key] : keys[event.key];
    going = event.key === "g" ? Date.now() : 0;
    if (act) { event.preventDefault(); act(); }
  });
})();
