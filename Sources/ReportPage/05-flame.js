// The flame graph: the root on top, a row a frame. Only what is at least half a pixel wide is visited and drawn, so the
// cost follows the screen, not the number of stacks.
const flame = (() => {
  const canvas = byID("flame-canvas");
  const rowHeight = 20;
  const smallest = 0.5;
  const deepest = 600;
  const font = '12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif';
  const trees = new Map();
  const state = { type: typeIndex(data.selected), inverted: false, wrappers: false, zoom: 0, focus: 0 };
  let tree;
  let weights;
  let rows = [];
  let matches = null;
  let cut = false;

  const unit = () => data.types[state.type].unit;

  function load() {
    const key = `${state.inverted} ${state.wrappers}`;
    if (!trees.has(key)) {
      trees.set(key, (state.inverted ? invertedTree : topDownTree)(state.wrappers));
    }
    tree = trees.get(key);
    tree.weights ??= new Map();
    if (!tree.weights.has(state.type)) tree.weights.set(state.type, weigh(tree, state.type));
    weights = tree.weights.get(state.type);
    while (state.zoom > 0 && weights.width[state.zoom] <= 0) state.zoom = tree.parent[state.zoom];
    if (!isInside(state.focus) || weights.width[state.focus] <= 0) state.focus = state.zoom;
  }

  function isInside(node) {
    for (let place = node; place >= 0; place = place === 0 ? -1 : tree.parent[place]) {
      if (place === state.zoom) return true;
    }
    return false;
  }

  // Rows of [node, x, width], from the root: the frames above the zoomed one as wide as the graph.
  function layOut(width) {
    rows = [];
    cut = false;
    const above = [];
    for (let node = state.zoom; node > 0; node = tree.parent[node]) above.push(tree.parent[node]);
    for (const node of above.reverse()) rows.push([[node, 0, width]]);
    const total = weights.width[state.zoom];
    if (total <= 0) return;
    const scale = width / total;
    const { first, list } = weights.children;
    let row = [[state.zoom, 0, width]];
    while (row.length > 0) {
      rows.push(row);
      if (rows.length - above.length >= deepest) {
        cut = true;
        break;
      }
      const next = [];
      for (const [node, x] of row) {
        let left = x;
        for (let index = first[node]; index < first[node + 1]; index += 1) {
          const child = list[index];
          const wide = weights.width[child] * scale;
          // Children come widest first.
          if (wide < smallest) break;
          next.push([child, left, wide]);
          left += wide;
        }
      }
      row = next;
    }
  }

  function label(node) {
    return node === 0 ? `all: ${amount(weights.now[0], unit())}` : functionName(tree.fn[node]);
  }

  function draw() {
    const available = Math.max(50, canvas.parentElement.clientWidth);
    layOut(available);
    const { context, width } = preparedCanvas(canvas, Math.max(rows.length, 3) * rowHeight + 1);
    context.font = font;
    context.textBaseline = "middle";
    const letter = context.measureText("abcdefghijklmnopqrstuvwxyz_:").width / 28;
    const ink = styleValue("--ink");
    const faint = styleValue("--faint");
    const above = depthOfZoom();
    rows.forEach((row, depth) => {
      for (const [node, x, wide] of row) {
        drawFrame(context, node, x, depth * rowHeight, wide, depth < above);
        if (wide < 26) continue;
        const room = Math.floor((wide - 8) / letter);
        if (room < 2) continue;
        context.fillStyle = matches && !isFound(node) ? faint : ink;
        context.fillText(fitted(label(node), room), x + 5, depth * rowHeight + rowHeight / 2 + 0.5);
      }
    });
    if (weights.width[state.zoom] <= 0) {
      context.fillStyle = faint;
      context.fillText(`Nothing here has ${data.types[state.type].label.toLowerCase()}.`, 4, rowHeight * 1.5);
    }
    canvas.dataset.frames = String(rows.reduce((sum, row) => sum + row.length, 0));
    placeFocus(width);
    hideHover();
    describe();
  }

  function drawFrame(context, node, x, y, wide, isAbove) {
    const gap = wide > 3 ? 1 : 0;
    if (matches && isFound(node)) {
      context.fillStyle = foundColour();
    } else if (isDifference) {
      context.fillStyle = differenceColour(weights.base[node], weights.now[node], matches !== null);
    } else {
      context.fillStyle = frameColour(tree.fn[node], matches !== null);
    }
    context.globalAlpha = isAbove ? 0.55 : 1;
    context.fillRect(x, y, Math.max(smallest, wide - gap), rowHeight - 1);
    context.globalAlpha = 1;
  }

  // The end of a qualified name says more than its beginning.
  function fitted(text, room) {
    if (text.length <= room) return text;
    const bare = text.replace(/\(.*$/, "");
    if (bare.length > 1 && bare.length <= room) return bare;
    const last = bare.slice(bare.lastIndexOf("::") + (bare.includes("::") ? 2 : 0));
    if (!/[<>]/.test(last) && last.length > 1 && last.length <= room) return last;
    return text.slice(0, Math.max(1, room - 1)) + "…";
  }

  const depthOfZoom = () => tree.depth[state.zoom];
  const isFound = (node) => node > 0 && matches[tree.fn[node]] === 1;

  function frameAt(x, y) {
    const row = rows[Math.floor(y / rowHeight)];
    if (!row) return null;
    let low = 0;
    let high = row.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const [, left, wide] = row[middle];
      if (x < left) high = middle - 1;
      else if (x >= left + wide) low = middle + 1;
      else return row[middle];
    }
    return null;
  }

  function find(node) {
    const depth = tree.depth[node];
    return rows[depth]?.find((frame) => frame[0] === node);
  }

  function mark(box, node) {
    const frame = find(node);
    box.hidden = !frame;
    if (!frame) return;
    box.style.left = frame[1] + "px";
    box.style.top = tree.depth[node] * rowHeight + "px";
    box.style.width = Math.max(2, frame[2]) + "px";
    box.style.height = rowHeight - 1 + "px";
  }

  function placeFocus() {
    const box = byID("flame-focus");
    if (document.activeElement === canvas) mark(box, state.focus);
    else box.hidden = true;
  }

  function hideHover() {
    byID("flame-hover").hidden = true;
    tip.hide();
  }

  // What there is to say of a frame: rows of a label and a text.
  function figures(node) {
    const kind = unit();
    const now = weights.now[node];
    const result = [];
    if (isDifference) {
      const before = weights.base[node];
      result.push(["old", exact(before, kind)], ["new", exact(now, kind)]);
      result.push(["change", `${change(now - before, kind)}, ${growth(before, now)}`]);
    } else {
      result.push([data.types[state.type].label.toLowerCase(), exact(now, kind)]);
      result.push(["of all", share(now, weights.now[0])]);
      if (state.zoom > 0) result.push(["of the zoomed", share(now, weights.now[state.zoom])]);
      if (weights.own && node > 0) result.push(["itself", exact(weights.own[node], kind)]);
    }
    return result;
  }

  function place(node) {
    if (node === 0) return "";
    const name = tree.fn[node];
    return [data.functions.file[name], moduleName(name)].filter((text) => text).join("  ·  ");
  }

  function describe() {
    const text = figures(state.focus).map(([label, value]) => `${label} ${value}`).join(" · ");
    byID("flame-line").textContent = `${state.focus === 0 ? "all" : label(state.focus)} · ${text}`
      + (cut ? ` · more than ${deepest} frames deep: zoom in to see the rest` : "");
  }

  function showPath() {
    const path = [];
    for (let node = state.zoom; node > 0; node = tree.parent[node]) path.push(node);
    const shown = path.slice(0, 8).reverse();
    const parts = [];
    if (path.length > 0) {
      parts.push(element("button", { type: "button", text: "all", onclick: () => zoom(0) }));
      if (path.length > shown.length) parts.push(element("span", { text: "› …" }));
      for (const node of shown) {
        parts.push(element("span", { text: "›" }));
        parts.push(element("button", { type: "button", text: label(node), onclick: () => zoom(node) }));
      }
    }
    byID("path").replaceChildren(...parts);
    byID("reset").disabled = state.zoom === 0;
  }

  function zoom(node) {
    state.zoom = node;
    state.focus = node;
    showPath();
    draw();
  }

  function refresh() {
    load();
    showPath();
    showFound();
    draw();
  }

  function set(change) {
    const keepsTree = !("inverted" in change || "wrappers" in change);
    Object.assign(state, change);
    if (!keepsTree) state.zoom = state.focus = 0;
    refresh();
  }

  function search(text) {
    const wanted = text.toLowerCase();
    matches = wanted === "" ? null : Uint8Array.from(
      data.functions.name, (name) => (name.toLowerCase().includes(wanted) ? 1 : 0));
    showFound();
    draw();
  }

  // A match inside a match counts once.
  function showFound() {
    if (!matches) {
      byID("found").textContent = "";
      return;
    }
    const inside = new Uint8Array(tree.parent.length);
    const names = new Set();
    let sum = 0;
    let before = 0;
    for (let node = 1; node < inside.length; node += 1) {
      const isMatch = matches[tree.fn[node]] === 1;
      if (isMatch && weights.width[node] > 0) names.add(tree.fn[node]);
      if (isMatch && !inside[tree.parent[node]]) {
        sum += weights.now[node];
        if (isDifference) before += weights.base[node];
      }
      inside[node] = isMatch || inside[tree.parent[node]] ? 1 : 0;
    }
    const functions = `${count(names.size)} ${names.size === 1 ? "function" : "functions"} found`;
    const figure = isDifference
      ? `${exact(before, unit())} → ${exact(sum, unit())}`
      : `${exact(sum, unit())} · ${share(sum, weights.now[0])}`;
    byID("found").textContent = names.size === 0 ? "No function found" : `${functions} · ${figure}`;
  }

  function step(key) {
    const row = rows[tree.depth[state.focus]] || [];
    const index = row.findIndex((frame) => frame[0] === state.focus);
    const below = rows[tree.depth[state.focus] + 1]?.find((frame) => tree.parent[frame[0]] === state.focus);
    if (key === "ArrowLeft" && index > 0) state.focus = row[index - 1][0];
    else if (key === "ArrowRight" && index >= 0 && index < row.length - 1) state.focus = row[index + 1][0];
    else if (key === "ArrowUp" && state.focus > 0) state.focus = tree.parent[state.focus];
    else if (key === "ArrowDown" && below) state.focus = below[0];
    else if (key === "Enter" || key === " ") return zoom(state.focus);
    else if ((key === "Escape" || key === "Backspace") && state.zoom > 0) return zoom(tree.parent[state.zoom]);
    else if (key === "Home") return zoom(0);
    else return undefined;
    placeFocus();
    describe();
    scrollToFocus();
    return undefined;
  }

  function scrollToFocus() {
    byID("flame-focus").scrollIntoView({ block: "nearest" });
  }

  canvas.addEventListener("mousemove", (event) => {
    const frame = frameAt(event.offsetX, event.offsetY);
    if (!frame) return hideHover();
    mark(byID("flame-hover"), frame[0]);
    tip.show(event, frame[0] === 0 ? "all" : label(frame[0]), place(frame[0]), figures(frame[0]));
    return undefined;
  });
  canvas.addEventListener("mouseleave", hideHover);
  canvas.addEventListener("click", (event) => {
    const frame = frameAt(event.offsetX, event.offsetY);
    if (frame) zoom(frame[0]);
  });
  canvas.addEventListener("focus", () => placeFocus());
  canvas.addEventListener("blur", () => placeFocus());
  canvas.addEventListener("keydown", (event) => {
    const keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Enter", " ", "Escape", "Backspace", "Home"];
    if (!keys.includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(event.key);
  });

  return { state, set, search, zoom, draw, refresh };
})();
