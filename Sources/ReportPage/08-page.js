// Puts the page together: head, figures, controls, theme.
const page = (() => {
  function tiles() {
    const value = (id) => ({ now: tables.total.now[typeIndex(id)], base: tables.total.base[typeIndex(id)] });
    const result = [];
    const add = (title, id, note) => {
      const type = typeIndex(id);
      if (type < 0) return;
      const { now, base } = value(id);
      const unit = data.types[type].unit;
      const small = isDifference ? now === base ? "as before" : `${change(now - base, unit)}, ${growth(base, now)}` : note;
      const tone = isDifference && now !== base ? (now > base ? "grew" : "shrank") : "";
      result.push(element("div", {}, element("dt", { text: title }), element(
        "dd", { title: unit === "bytes" ? count(now) + " B" : "", "data-type": id, "data-value": String(now) },
        amount(now, unit), element("small", { text: small, class: tone }))));
    };
    const blocks = (id) => (typeIndex(id) < 0 ? "" : `in ${count(value(id).now)} blocks`);
    const temporary = typeIndex("temporary_objects") < 0 ? ""
      : `${share(value("temporary_objects").now, Math.max(1, value("alloc_objects").now))} of them temporary`;
    add("Live", "inuse_space", blocks("inuse_objects"));
    add("At the peak", "peak_space", blocks("peak_objects"));
    add("Allocated", "alloc_space", "in all");
    add("Allocations", "alloc_objects", temporary);
    const largest = largestOf(data.timeline.rss);
    if (!isDifference && largest > 0) {
      result.push(element("div", {}, element("dt", { text: "Largest RSS" }), element(
        "dd", { title: count(largest) + " B" }, bytes(largest), element("small", { text: "at a checkpoint" }))));
    }
    byID("tiles").replaceChildren(...result);
  }

  function words() {
    byID("title").textContent = data.title;
    byID("flame-legend").hidden = !isDifference;
    byID("subtitle").textContent = data.subtitle;
    byID("subtitle").title = data.subtitle;
    byID("notes").replaceChildren(...data.notes.map((text) => element("p", { class: "notice", text })));
    byID("health-list").replaceChildren(...(data.health.length > 0
      ? data.health.map((text) => element("li", { text }))
      : [element("li", { class: "good", text: "Nothing was lost." })]));
    byID("facts").replaceChildren(...data.facts.flatMap(([label, text]) => [
      element("dt", { text: label }), element("dd", { text }),
    ]));
  }

  const themes = ["auto", "light", "dark"];
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  let theme = "auto";

  function applyTheme(forPrint) {
    isDark = !forPrint && (theme === "dark" || (theme === "auto" && prefersDark.matches));
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    byID("theme").textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
    byID("theme").setAttribute("aria-label", `Colours: ${theme}`);
    timeline.draw();
    flame.draw();
  }

  // A file:// page may have no storage.
  function remembered() {
    try {
      const kept = localStorage.getItem("memtrack-theme");
      return themes.includes(kept) ? kept : "auto";
    } catch {
      return "auto";
    }
  }

  function remember() {
    try {
      localStorage.setItem("memtrack-theme", theme);
    } catch {
      // Then it is chosen anew each time.
    }
  }

  function setInverted(inverted) {
    byID("inverted").setAttribute("aria-pressed", String(inverted));
    byID("top-down").setAttribute("aria-pressed", String(!inverted));
    flame.set({ inverted });
  }

  // Shows a function in the flame graph.
  function find(name) {
    byID("search").value = name;
    flame.search(name);
    byID("flame-plot").scrollTop = 0;
    byID("flame").scrollIntoView({ block: "start" });
    byID("search").focus({ preventScroll: true });
  }

  function controls() {
    byID("type").replaceChildren(...data.types.map((type) => element("option", { value: type.id, text: type.label })));
    byID("type").value = data.selected;
    byID("type").addEventListener("change", (event) => {
      flame.set({ type: typeIndex(event.target.value) });
      if (isDifference) tables.draw();
    });
    byID("top-down").addEventListener("click", () => setInverted(false));
    byID("inverted").addEventListener("click", () => setInverted(true));
    byID("wrappers").addEventListener("change", (event) => flame.set({ wrappers: event.target.checked }));
    byID("reset").addEventListener("click", () => flame.zoom(0));
    byID("search").addEventListener("input", (event) => flame.search(event.target.value));
    byID("search").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.target.value = "";
      flame.search("");
    });
    byID("theme").addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      remember();
      applyTheme(false);
    });
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
      if (event.key === "/") {
        event.preventDefault();
        byID("search").focus();
      } else if (event.key === "i") {
        setInverted(!flame.state.inverted);
      }
    });
    prefersDark.addEventListener("change", () => applyTheme(false));
    window.addEventListener("beforeprint", () => applyTheme(true));
    window.addEventListener("afterprint", () => applyTheme(false));
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      timeline.draw();
      flame.draw();
    });
  }

  function start() {
    theme = remembered();
    words();
    controls();
    tiles();
    flame.refresh();
    tables.draw();
    applyTheme(false);
    document.documentElement.dataset.ready = "true";
  }

  return { start, find };
})();

page.start();
