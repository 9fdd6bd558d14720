// Calm colours: a hue for each module, greys for wrappers and for what is no code; of a difference, red grew, blue shrank.
const hues = [32, 172, 214, 270, 96, 344, 52, 196];

// Modules in order of what their functions have in the samples, so that the largest get hues of their own.
const moduleHue = (() => {
  const weights = data.modules.map(() => 0);
  data.nodes.function.forEach((name) => { weights[data.functions.module[name]] += 1; });
  const order = weights.map((weight, module) => module).sort((a, b) => weights[b] - weights[a]);
  const result = [];
  order.forEach((module, place) => { result[module] = hues[place % hues.length]; });
  return result;
})();

function nameHash(text) {
  let hash = 7;
  for (let index = 0; index < text.length; index += 1) hash = (hash * 31 + text.charCodeAt(index)) & 0xffff;
  return hash / 0xffff;
}

const shades = data.functions.name.map(nameHash);

let isDark = false;

function frameColour(name, isFaded) {
  if (name < 0) return isDark ? "#353b42" : "#dcdcd7";
  const kind = data.functions.kind[name];
  if (isFaded) return isDark ? "#262a2f" : "#eeeeeb";
  if (kind !== 0) return isDark ? "#3a4047" : "#dadad5";
  const shade = shades[name];
  const hue = moduleHue[data.functions.module[name]] + shade * 14 - 7;
  return isDark
    ? `hsl(${hue} ${24 + shade * 6}% ${29 + shade * 6}%)`
    : `hsl(${hue} ${42 + shade * 10}% ${78 + shade * 6}%)`;
}

const foundColour = () => (isDark ? "#7a4f86" : "#e3b8ec");

function differenceColour(before, after, isFaded) {
  if (isFaded) return isDark ? "#262a2f" : "#eeeeeb";
  const largest = Math.max(Math.abs(before), Math.abs(after));
  const part = largest > 0 ? Math.max(-1, Math.min(1, (after - before) / largest)) : 0;
  const neutral = isDark ? [58, 63, 69] : [228, 228, 223];
  const target = part > 0 ? (isDark ? [158, 66, 54] : [233, 128, 112]) : (isDark ? [52, 99, 150] : [122, 172, 224]);
  const strength = part === 0 ? 0 : 0.18 + 0.82 * Math.sqrt(Math.abs(part));
  const mixed = neutral.map((from, index) => Math.round(from + (target[index] - from) * strength));
  return `rgb(${mixed.join(" ")})`;
}

function styleValue(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A canvas as many device pixels wide as it is shown, ready to be drawn in CSS pixels.
function preparedCanvas(canvas, height) {
  const width = Math.max(50, canvas.parentElement.clientWidth);
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width };
}
