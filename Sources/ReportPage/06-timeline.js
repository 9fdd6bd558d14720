// Resident and live size over time, with markers and the moment of the peak; children as steps beneath.
const timeline = (() => {
  const canvas = byID("timeline-canvas");
  const line = data.timeline;
  const has = (values) => values.some((value) => value !== null);
  const showsTotal = line.totalRss.some((value, index) => value !== null && value !== line.rss[index]);
  const showsChildren = line.children.some((value) => value > 0);
  const series = [
    { name: "RSS with children", values: line.totalRss, colour: "--total", legend: "c-total", isShown: showsTotal },
    { name: "RSS", values: line.rss, colour: "--rss", legend: "c-rss", isShown: has(line.rss) },
    { name: "live heap", values: line.live, colour: "--live", legend: "c-live", isShown: has(line.live), isArea: true },
  ].filter((one) => one.isShown);
  const left = 74;
  const right = 12;
  const top = 20;
  const plotHeight = 140;
  let cursor = -1;

  const end = Math.max(line.duration, largestOf(line.seconds), 1e-3);

  function horizontal(time, width) {
    return left + time / end * (width - left - right);
  }

  // Round in the units of the figures: 1, 2, 5, 10, 20, 50 … times a power of 1024.
  function byteStep(largest) {
    let power = 1;
    while (largest / power >= 1024) power *= 1024;
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].map((step) => step * power / 4);
    return steps.find((step) => largest / step <= 4) || power;
  }

  // Round times, at most eight of them; of a run shorter than a second in milliseconds.
  function timeStep(most) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
    const finest = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    const whole = 86400 * Math.ceil(end / 86400 / most);
    return [...finest, ...steps].find((step) => end / step <= most) ?? whole;
  }

  function timeText(time, step) {
    if (step < 0.1) return `${Math.round(time * 1000)} ms`;
    return step < 1 ? time.toFixed(1) + "s" : seconds(time).replace(/\.0s$/, "s");
  }

  function draw() {
    const height = top + plotHeight + (showsChildren ? 54 : 26);
    const { context, width } = preparedCanvas(canvas, height);
    context.font = '11.5px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif';
    const largest = Math.max(1, ...series.map((one) => largestOf(one.values)));
    const step = byteStep(largest);
    const highest = Math.ceil(largest / step) * step;
    const vertical = (value) => top + plotHeight - Math.max(0, value) / highest * plotHeight;
    drawGrid(context, width, step, highest, vertical);
    for (const one of series) drawSeries(context, width, one, vertical);
    drawMarks(context, width);
    if (showsChildren) drawChildren(context, width);
    if (cursor >= 0) drawCursor(context, width, vertical);
    describe();
  }

  function drawGrid(context, width, step, highest, vertical) {
    context.strokeStyle = styleValue("--line");
    context.fillStyle = styleValue("--faint");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let value = 0; value <= highest; value += step) {
      const y = Math.round(vertical(value)) + 0.5;
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(width - right, y);
      context.stroke();
      context.fillText(bytes(value).replace(/\.00 /, " "), left - 8, y);
    }
    context.textBaseline = "top";
    const stepOfTime = timeStep(Math.max(2, Math.min(8, Math.floor((width - left) / 110))));
    for (let tick = 0; tick * stepOfTime <= end; tick += 1) {
      const x = horizontal(tick * stepOfTime, width);
      context.textAlign = tick === 0 ? "left" : x > width - right - 24 ? "right" : "center";
      context.fillText(timeText(tick * stepOfTime, stepOfTime), x, top + plotHeight + 7);
    }
  }

  function drawSeries(context, width, one, vertical) {
    const points = [];
    one.values.forEach((value, index) => {
      if (value !== null) points.push([horizontal(line.seconds[index], width), vertical(value)]);
    });
    if (points.length === 0) return;
    context.strokeStyle = context.fillStyle = styleValue(one.colour);
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.stroke();
    if (one.isArea && points.length > 1) {
      context.lineTo(points[points.length - 1][0], top + plotHeight);
      context.lineTo(points[0][0], top + plotHeight);
      context.globalAlpha = 0.14;
      context.fill();
      context.globalAlpha = 1;
    }
    if (points.length < 80) {
      for (const [x, y] of points) {
        context.beginPath();
        context.arc(x, y, 2.4, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }

  function drawMarks(context, width) {
    context.textBaseline = "alphabetic";
    const mark = (time, colour, text, canSkipText) => {
      const x = Math.round(horizontal(Math.min(time, end), width)) + 0.5;
      context.strokeStyle = context.fillStyle = styleValue(colour);
      context.setLineDash([3, 3]);
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x, top - 4);
      context.lineTo(x, top + plotHeight);
      context.stroke();
      context.setLineDash([]);
      if (canSkipText) return x;
      const isLate = x > width * 0.75;
      context.textAlign = isLate ? "right" : "left";
      const shown = text.length > 32 ? text.slice(0, 31) + "…" : text;
      context.fillText(shown, x + (isLate ? -4 : 4), top - 7);
      return x + (isLate ? 0 : context.measureText(shown).width + 14);
    };
    let free = -1;
    for (const { seconds: time, label } of line.markers) {
      free = Math.max(free, mark(time, "--mark", label, horizontal(time, width) < free));
    }
    if (line.peakSeconds !== null) {
      mark(line.peakSeconds, "--peak", "peak", horizontal(line.peakSeconds, width) < free);
    }
  }

  function drawChildren(context, width) {
    const largest = largestOf(line.children);
    const bottom = top + plotHeight + 50;
    context.fillStyle = styleValue("--faint");
    context.textAlign = "right";
    context.textBaseline = "bottom";
    context.fillText(`children, ${largest}`, left - 8, bottom + 2);
    context.globalAlpha = 0.5;
    line.seconds.forEach((time, index) => {
      const height = 20 * (line.children[index] || 0) / largest;
      const x = horizontal(time, width);
      const next = horizontal(line.seconds[index + 1] ?? end, width);
      context.fillRect(x, bottom - height, Math.max(1.5, next - x), height);
    });
    context.globalAlpha = 1;
  }

  function drawCursor(context, width, vertical) {
    const x = Math.round(horizontal(line.seconds[cursor], width)) + 0.5;
    context.strokeStyle = styleValue("--ink");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + plotHeight);
    context.stroke();
    for (const one of series) {
      if (one.values[cursor] === null) continue;
      context.fillStyle = styleValue(one.colour);
      context.beginPath();
      context.arc(x, vertical(one.values[cursor]), 4, 0, 2 * Math.PI);
      context.fill();
    }
  }

  function describe() {
    const target = byID("timeline-line");
    if (line.seconds.length === 0) {
      target.textContent = "This profile has no checkpoints.";
      return;
    }
    if (cursor < 0) {
      target.textContent = "Point at a checkpoint, or use the arrow keys, to read its figures.";
      return;
    }
    const parts = [`+${seconds(line.seconds[cursor])}`];
    for (const one of series) {
      const value = one.values[cursor];
      if (value !== null) parts.push(`${one.name} ${exact(value, "bytes")}`);
    }
    if (showsChildren) parts.push(`children ${line.children[cursor] ?? NOTHING}`);
    if (line.threads[cursor] !== null) parts.push(`threads ${line.threads[cursor]}`);
    const before = cursor > 0 ? line.seconds[cursor - 1] : -1;
    const marks = line.markers.filter((one) => one.seconds > before && one.seconds <= line.seconds[cursor]);
    if (marks.length > 0) parts.push("marked: " + marks.map((one) => one.label).join(", "));
    target.textContent = parts.join(" · ");
  }

  function move(to) {
    if (line.seconds.length === 0) return;
    cursor = Math.max(0, Math.min(line.seconds.length - 1, to));
    draw();
  }

  canvas.addEventListener("mousemove", (event) => {
    const width = canvas.clientWidth;
    let nearest = -1;
    line.seconds.forEach((time, index) => {
      const distance = Math.abs(horizontal(time, width) - event.offsetX);
      if (nearest < 0 || distance < Math.abs(horizontal(line.seconds[nearest], width) - event.offsetX)) nearest = index;
    });
    if (nearest !== cursor) move(nearest);
  });
  canvas.addEventListener("keydown", (event) => {
    const last = line.seconds.length - 1;
    const target = {
      ArrowLeft: cursor - 1, ArrowRight: cursor + 1, Home: 0, End: last,
    }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(target);
  });

  canvas.setAttribute("aria-label", `${series.map((one) => one.name).join(", ")} over ${seconds(end)}`);
  byID("legend").replaceChildren(
    ...series.map((one) => element("span", {}, element("i", { class: one.legend }), one.name)),
    ...(line.markers.length > 0 ? [element("span", {}, element("i", { class: "c-mark" }), "marked by the program")] : []),
    ...(line.peakSeconds !== null ? [element("span", {}, element("i", { class: "c-peak" }), "peak of the heap")] : []));
  if (isDifference) byID("timeline-title").textContent = "Timeline of the new one";
  // Without checkpoints there is nothing to draw.
  byID("timeline").hidden = line.seconds.length === 0;
  document.querySelector('nav a[href="#timeline"]').hidden = line.seconds.length === 0;
  return { draw: () => { if (line.seconds.length > 0) draw(); } };
})();
