// The one tooltip, near the pointer and inside the window.
const tip = (() => {
  const box = document.getElementById("tip");

  function show(event, title, place, rows) {
    const table = element("table", {}, element("tbody", {}, ...rows.map(([label, value]) => element(
      "tr", {}, element("td", { text: label }), element("td", { text: value })))));
    const parts = [element("b", { text: title })];
    if (place) parts.push(element("div", { class: "place", text: place }));
    box.replaceChildren(...parts, table);
    box.hidden = false;
    const size = box.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - size.width - 8);
    const below = event.clientY + 18;
    const top = below + size.height > window.innerHeight ? event.clientY - size.height - 12 : below;
    box.style.left = Math.max(4, left) + "px";
    box.style.top = Math.max(4, top) + "px";
  }

  return { show, hide: () => { box.hidden = true; } };
})();
