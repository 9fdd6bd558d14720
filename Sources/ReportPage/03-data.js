// The figures of the page, and the trees of stacks made of them.
const data = JSON.parse(byID("data").textContent);
const isDifference = data.compares !== null;
const samples = data.samples;
const sampleCount = samples.node.length;

const functionName = (id) => data.functions.name[id];
const moduleOf = (id) => data.modules[data.functions.module[id]][0];
const moduleName = (id) => baseName(moduleOf(id));
const isWrapper = (id) => data.functions.kind[id] === 1;

function typeIndex(id) {
  return data.types.findIndex((type) => type.id === id);
}

// A tree in which a caller's place is smaller than that of what it calls; place 0 is the root. `leaf` has the place that a
// sample ends at, or, inverted, the path of places that it counts for.
function topDownTree(withWrappers) {
  const size = data.nodes.parent.length + 1;
  const parent = new Int32Array(size);
  const fn = new Int32Array(size).fill(-1);
  for (let node = 1; node < size; node += 1) {
    parent[node] = data.nodes.parent[node - 1];
    fn[node] = data.nodes.function[node - 1];
  }
  return finished({ parent, fn, leaf: withWrappers ? samples.node : samples.siteNode, paths: null });
}

function invertedTree(withWrappers) {
  const leaf = withWrappers ? samples.node : samples.siteNode;
  const parent = [0];
  const fn = [-1];
  const places = new Map();
  const paths = new Map();
  const functions = data.functions.name.length;
  for (let index = 0; index < sampleCount; index += 1) {
    if (paths.has(leaf[index])) continue;
    const path = [];
    let place = 0;
    for (let node = leaf[index]; node > 0; node = data.nodes.parent[node - 1]) {
      const name = data.nodes.function[node - 1];
      const key = place * functions + name;
      let next = places.get(key);
      if (next === undefined) {
        next = parent.length;
        places.set(key, next);
        parent.push(place);
        fn.push(name);
      }
      place = next;
      path.push(place);
    }
    paths.set(leaf[index], path);
  }
  return finished({ parent: Int32Array.from(parent), fn: Int32Array.from(fn), leaf, paths });
}

function finished(tree) {
  const size = tree.parent.length;
  tree.depth = new Int32Array(size);
  for (let node = 1; node < size; node += 1) tree.depth[node] = tree.depth[tree.parent[node]] + 1;
  return tree;
}

// Sums of a figure for every place of a tree: now, before (of a difference), and the width to draw, which is never
// negative and, of a difference, the larger of the two, so that what has gone can be seen.
function weigh(tree, type) {
  const size = tree.parent.length;
  const now = new Float64Array(size);
  const base = isDifference ? new Float64Array(size) : null;
  const width = new Float64Array(size);
  const ends = new Map();
  for (let index = 0; index < sampleCount; index += 1) {
    const leaf = tree.leaf[index];
    let end = ends.get(leaf);
    if (end === undefined) ends.set(leaf, end = [0, 0]);
    end[0] += samples.values[type][index];
    if (isDifference) end[1] += samples.base[type][index];
  }
  for (const [leaf, [after, before]] of ends) {
    const drawn = Math.max(0, after, before);
    const add = (place) => {
      now[place] += after;
      width[place] += drawn;
      if (base) base[place] += before;
    };
    if (!tree.paths) {
      add(leaf);
    } else {
      add(0);
      for (const place of tree.paths.get(leaf)) add(place);
    }
  }
  const own = tree.paths ? null : Float64Array.from(now);
  if (!tree.paths) {
    for (let node = size - 1; node > 0; node -= 1) {
      now[tree.parent[node]] += now[node];
      width[tree.parent[node]] += width[node];
      if (base) base[tree.parent[node]] += base[node];
    }
  }
  return { now, base, width, own, children: childrenByWidth(tree, width) };
}

// Children of each place that have a width, widest first: `list.slice(first[place], first[place + 1])`.
function childrenByWidth(tree, width) {
  const size = tree.parent.length;
  const first = new Int32Array(size + 1);
  for (let node = 1; node < size; node += 1) if (width[node] > 0) first[tree.parent[node] + 1] += 1;
  for (let place = 0; place < size; place += 1) first[place + 1] += first[place];
  const list = new Int32Array(first[size]);
  const next = first.slice(0, size);
  for (let node = 1; node < size; node += 1) {
    if (width[node] > 0) list[next[tree.parent[node]]++] = node;
  }
  for (let place = 0; place < size; place += 1) {
    if (first[place + 1] - first[place] > 1) {
      list.subarray(first[place], first[place + 1]).sort((a, b) => width[b] - width[a] || a - b);
    }
  }
  return { first, list };
}
