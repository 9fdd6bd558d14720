// Figures as text, as memtrack's tables write them, and elements made without markup.
const NOTHING = "·";

function count(value) {
  const digits = Math.abs(value).toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");
  return (value < 0 ? "-" : "") + digits;
}

function bytes(value) {
  const sign = value < 0 ? "-" : "";
  let scaled = Math.abs(value);
  if (scaled < 1024) return sign + scaled + " B";
  const units = ["KB", "MB", "GB", "TB", "PB", "EB"];
  let unit = -1;
  while (unit < 0 || (scaled >= 1023.995 && unit < units.length - 1)) {
    scaled /= 1024;
    unit += 1;
  }
  return sign + scaled.toFixed(2) + " " + units[unit];
}

function amount(value, unit) {
  return unit === "bytes" ? bytes(value) : count(value);
}

// With every byte: `25.39 MB (26,624,010 B)`.
function exact(value, unit) {
  if (unit !== "bytes" || Math.abs(value) < 1024) return amount(value, unit);
  return `${bytes(value)} (${count(value)} B)`;
}

function change(value, unit) {
  return value === 0 ? NOTHING : (value > 0 ? "+" : "") + amount(value, unit);
}

function share(part, whole) {
  if (!(whole > 0)) return NOTHING;
  if (part === 0) return "0 %";
  const percent = part / whole * 100;
  return Math.abs(percent) < 0.05 ? "<0.1 %" : percent.toFixed(1) + " %";
}

// Of a figure that was `old`: `+12.5 %`, `new`, `gone`.
function growth(before, after) {
  if (before === after) return NOTHING;
  if (before === 0) return "new";
  if (after === 0) return "gone";
  const percent = (after - before) / Math.abs(before) * 100;
  return (percent > 0 ? "+" : "") + percent.toFixed(Math.abs(percent) < 1000 ? 1 : 0) + " %";
}

function seconds(value) {
  if (value < 59.95) return value.toFixed(1) + "s";
  const whole = Math.round(value);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole / 60) % 60)}m`;
  return `${Math.floor(whole / 86400)}d ${two(Math.floor(whole / 3600) % 24)}h`;
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const byID = (id) => document.getElementById(id);

// Of any number of values, some of them null; Math.max takes some ten thousand.
function largestOf(values) {
  let largest = 0;
  for (const value of values) if (value > largest) largest = value;
  return largest;
}

function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}
