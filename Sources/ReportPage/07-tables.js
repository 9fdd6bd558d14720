// Tables: sites, size classes and modules, summed over the samples; and those that come as they are.
const tables = (() => {
  const rowsAtFirst = 50;
  const state = { tab: "sites", filter: "", sort: {}, showsAll: false };

  // Sums of every figure by some property of a sample: rows of { id, now: [by type], base: [by type] }.
  function sums(keyOf) {
    const rows = new Map();
    const types = data.types.length;
    for (let index = 0; index < sampleCount; index += 1) {
      const id = keyOf(index);
      let row = rows.get(id);
      if (!row) rows.set(id, row = { id, now: new Array(types).fill(0), base: new Array(types).fill(0) });
      for (let type = 0; type < types; type += 1) {
        row.now[type] += samples.values[type][index];
        if (isDifference) row.base[type] += samples.base[type][index];
      }
    }
    return [...rows.values()];
  }

  const total = sums(() => 0)[0] || { now: data.types.map(() => 0), base: data.types.map(() => 0) };

  // - pairOf: a figure before and after.
  const growthColumn = (id, title, pairOf) => ({
    id, title, unit: "growth", value: (row) => {
      const [before, after] = pairOf(row);
      if (before === after) return 0;
      return before === 0 ? Infinity : (after - before) / Math.abs(before);
    }, text: (row) => growth(...pairOf(row)), isChange: true,
  });

  // The figures of one profile: all of them; of two: the chosen one, old and new.
  function figureColumns() {
    const chosen = flame.state.type;
    const unit = data.types[chosen].unit;
    if (isDifference) {
      return [
        { id: "old", title: "old", unit, value: (row) => row.base[chosen] },
        { id: "new", title: "new", unit, value: (row) => row.now[chosen] },
        { id: "change", title: "change", unit, value: (row) => row.now[chosen] - row.base[chosen], isChange: true },
        growthColumn("percent", "%", (row) => [row.base[chosen], row.now[chosen]]),
      ];
    }
    const titles = {
      inuse_space: "live", inuse_objects: "live blocks", peak_space: "at the peak", peak_objects: "blocks at the peak",
      alloc_space: "allocated", alloc_objects: "allocations", temporary_objects: "temporary",
    };
    const columns = [];
    for (const id of Object.keys(titles)) {
      const type = typeIndex(id);
      if (type < 0 || id === "peak_objects") continue;
      columns.push({ id, title: titles[id], unit: data.types[type].unit, value: (row) => row.now[type] });
      if (id === "inuse_space") {
        columns.push({
          id: "share", title: "share", unit: "share", value: (row) => row.now[type],
          text: (row) => share(row.now[type], total.now[type]),
        });
      }
    }
    return columns;
  }

  function siteCell(row) {
    const name = data.sites.function[row.id];
    const line = data.sites.line[row.id];
    const file = data.functions.file[name];
    const place = [file ? baseName(file) + (line > 0 ? ":" + line : "") : "", moduleName(name)];
    return [
      element("button", {
        type: "button", text: functionName(name), title: "Show in the flame graph", onclick: () => page.find(functionName(name)),
      }),
      element("div", { class: "place", text: place.filter((text) => text).join("  ·  "), title: file }),
    ];
  }

  const classText = (id) => {
    const [low, high] = data.classes[id];
    return high > 1e15 ? `${bytes(low)} and more` : low === high ? bytes(low) : `${bytes(low)} to ${bytes(high)}`;
  };

  const own = {
    sites: {
      title: "Sites", make: () => sums((index) => samples.site[index]),
      name: {
        id: "name", title: "site", unit: "text", cell: siteCell, value: (row) => functionName(data.sites.function[row.id]),
        text: (row) => {
          const name = data.sites.function[row.id];
          return `${functionName(name)} ${data.functions.file[name]} ${moduleOf(name)}`;
        },
      },
    },
    classes: {
      title: "Size classes", make: () => sums((index) => samples.class[index]),
      name: {
        id: "name", title: "size of a block", unit: "text", value: (row) => data.classes[row.id][0],
        text: (row) => classText(row.id),
      },
    },
    modules: {
      title: "Modules", make: () => sums((index) => data.functions.module[data.sites.function[samples.site[index]]]),
      name: {
        id: "name", title: "module, build id", unit: "text", value: (row) => data.modules[row.id][0],
        text: (row) => `${data.modules[row.id][0]} ${data.modules[row.id][1]}`,
        cell: (row) => [
          data.modules[row.id][0] || "(none)", element("div", { class: "place", text: data.modules[row.id][1] }),
        ],
      },
    },
  };

  function given(table) {
    const columns = table.columns.map(([title, unit], index) => {
      const id = String(index);
      if (unit === "name") {
        return {
          id, title, unit: "text", value: (row) => row[index][0], text: (row) => row[index].join(" "),
          cell: (row) => [row[index][0], element("div", { class: "place", text: row[index][1] })],
        };
      }
      if (unit === "growth") return growthColumn(id, title, (row) => row[index]);
      if (unit.endsWith("-change")) {
        return { id, title, unit: unit.slice(0, -"-change".length), value: (row) => row[index], isChange: true };
      }
      return {
        id, title, unit, value: (row) => row[index] ?? -Infinity, text: (row) => cellText(row[index], unit),
      };
    });
    return { title: table.title, rows: table.rows, columns, sortedBy: table.sortedBy };
  }

  function cellText(value, unit) {
    if (value === null || value === undefined || value === -Infinity) return NOTHING;
    if (unit === "bytes" || unit === "count") return value === 0 ? NOTHING : amount(value, unit);
    if (unit === "seconds") return "+" + seconds(value);
    return String(value);
  }

  const all = new Map(Object.entries(own));
  for (const table of data.tables) all.set(table.id, given(table));

  function current() {
    const table = all.get(state.tab);
    table.rows ??= table.make();
    const figures = figureColumns();
    const columns = table.columns ?? [table.name, ...figures];
    return { ...table, columns };
  }

  function sorted(rows, columns) {
    const initial = isDifference ? "change" : { inuse_space: 1 }[data.types[flame.state.type].id] ? "inuse_space" : "";
    const sortedBy = all.get(state.tab).sortedBy ?? null;
    const wanted = state.sort[state.tab] ?? (
      sortedBy !== null ? { id: String(sortedBy), isDown: true }
        : state.tab === "classes" ? { id: "name", isDown: false }
        : columns.some((column) => column.id === initial) ? { id: initial, isDown: true }
          : { id: columns[0].id, isDown: columns[0].unit !== "text" && !all.get(state.tab).columns });
    const column = columns.find((one) => one.id === wanted.id) ?? columns[0];
    const compare = (a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      return typeof x === "string" && typeof y === "string" ? (x < y ? -1 : x > y ? 1 : 0) : x - y || 0;
    };
    // Of changes, what grew comes first, then what shrank, each by size; what is as it was comes last.
    const rank = (row) => (column.value(row) > 0 ? 2 : column.value(row) < 0 ? 1 : 0);
    const byChange = (a, b) => rank(b) - rank(a) || Math.abs(column.value(b)) - Math.abs(column.value(a)) || 0;
    const order = rows.slice().sort(column.isChange && wanted.isDown
      ? byChange : (a, b) => (wanted.isDown ? compare(b, a) : compare(a, b)));
    return { order, column, isDown: wanted.isDown };
  }

  function head(columns, sorting) {
    return element("thead", {}, element("tr", {}, ...columns.map((column) => {
      const isSorted = column.id === sorting.column.id;
      const arrow = isSorted ? (sorting.isDown ? " ↓" : " ↑") : "";
      const attributes = { scope: "col", class: column.unit === "text" ? "text" : "" };
      if (isSorted) attributes["aria-sort"] = sorting.isDown ? "descending" : "ascending";
      return element("th", attributes, element("button", {
        type: "button", text: column.title + arrow, "data-column": column.id, onclick: () => {
          const isDown = isSorted ? !sorting.isDown : column.unit !== "text";
          state.sort[state.tab] = { id: column.id, isDown };
          draw();
          byID("table").querySelector(`[data-column="${column.id}"]`)?.focus();
        },
      }));
    })));
  }

  function cell(column, row) {
    const made = element("td", { class: column.unit === "text" ? "text" + (column.cell ? " wide" : "") : "" });
    if (column.cell) {
      made.append(...column.cell(row));
      return made;
    }
    const value = column.value(row);
    if (column.isChange) {
      made.textContent = column.text ? column.text(row) : change(value, column.unit);
      if (value !== 0) made.className = value > 0 ? "grew" : "shrank";
    } else {
      made.textContent = column.text ? column.text(row) : value === 0 ? NOTHING : amount(value, column.unit);
    }
    if (typeof value === "number" && Number.isFinite(value)) {
      made.dataset.value = String(value);
      if (column.unit === "bytes" && Math.abs(value) >= 1024) made.title = count(value) + " B";
    }
    return made;
  }

  function draw() {
    const table = current();
    const wanted = state.filter.toLowerCase();
    const text = (row) => table.columns.filter((column) => column.unit === "text")
      .map((column) => (column.text ? column.text(row) : String(column.value(row)))).join(" ").toLowerCase();
    const admitted = wanted === "" ? table.rows : table.rows.filter((row) => text(row).includes(wanted));
    const sorting = sorted(admitted, table.columns);
    const shown = state.showsAll ? sorting.order : sorting.order.slice(0, rowsAtFirst);
    const body = element("tbody", {}, ...shown.map((row) => element(
      "tr", {}, ...table.columns.map((column) => cell(column, row)))));
    const parts = [element("table", {}, head(table.columns, sorting), body)];
    if (table.make && wanted === "") parts[0].append(foot(table));
    if (shown.length < admitted.length) {
      parts.push(element("button", {
        type: "button", class: "more", text: `Show all ${count(admitted.length)} rows`,
        onclick: () => { state.showsAll = true; draw(); },
      }));
    }
    if (admitted.length === 0) parts.push(element("p", { class: "line", text: "No row has that." }));
    byID("table").replaceChildren(...parts);
    for (const tab of byID("tabs").children) {
      tab.setAttribute("aria-selected", String(tab.id === "tab-" + state.tab));
      tab.tabIndex = tab.id === "tab-" + state.tab ? 0 : -1;
    }
    byID("table").setAttribute("aria-labelledby", "tab-" + state.tab);
  }

  function foot(table) {
    return element("tfoot", {}, element("tr", {}, ...table.columns.map((column) => (column === table.name
      ? element("td", { class: "text", text: "total" }) : cell(column, total)))));
  }

  function choose(tab) {
    state.tab = tab;
    state.showsAll = false;
    draw();
  }

  byID("tabs").replaceChildren(...[...all].map(([id, table]) => element("button", {
    type: "button", role: "tab", id: "tab-" + id, text: table.title, "aria-controls": "table", onclick: () => choose(id),
  })));
  byID("tabs").addEventListener("keydown", (event) => {
    const keys = [...all.keys()];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = keys[(keys.indexOf(state.tab) + step + keys.length) % keys.length];
    choose(next);
    byID("tab-" + next).focus();
  });
  byID("filter").addEventListener("input", (event) => {
    state.filter = event.target.value;
    draw();
  });

  return { draw, total };
})();
