// The data of the run, what is selected of it, and the rows that follow. Nothing here draws.
const DATA = JSON.parse(document.getElementById("data").textContent);
const { run: RUN, nics: NICS, sets: SETS, flows: FLOWS, cells: CELLS, states: STATES } = DATA;
const FEATURES = DATA.features;
CELLS.forEach((cell, index) => {
  cell.index = index;
  const flow = FLOWS[cell.flow];
  const nic = NICS[cell.nic];
  cell.text = [
    cell.id, cell.verdict, cell.reason, cell.signature, cell.expectation, ...(cell.culprit ?? []),
    flow.group, flow.outer, flow.inner, flow.traffic, nic.driver, nic.firmware, nic.kernel, nic.host,
  ].join("\n").toLowerCase();
});
const BY_ID = new Map(CELLS.map((cell) => [cell.id, cell]));

const SORTS = {
  plan: "as planned",
  worst: "worst first",
  rate: "highest rate first",
  name: "by name",
};
const FACETS = {
  nic: ["NIC", NICS.map((nic) => nic.pair)],
  outer: ["outside", [...new Set(FLOWS.map((flow) => flow.outer))]],
  inner: ["inside", [...new Set(FLOWS.map((flow) => flow.inner).filter(Boolean))]],
  traffic: ["traffic", [...new Set(FLOWS.map((flow) => flow.traffic))]],
  group: ["kind", [...new Set(FLOWS.map((flow) => flow.group))]],
};

// What the user has chosen lives in the address, so that a reload and a link keep it.
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const list = (name) => (given.get(name) ? given.get(name).split(",") : []);
  const state = { q: given.get("q") ?? "", verdicts: list("v"), at: given.get("at") ?? "" };
  state.sort = given.get("sort") in SORTS ? given.get("sort") : "plan";
  state.column = SETS.findIndex((set) => set.id === given.get("column"));
  for (const name of Object.keys(FACETS)) {
    state[name] = FACETS[name][1].includes(given.get(name)) ? given.get(name) : "";
  }
  state.open = given.has("open") ? new Set(list("open")) : openAtFirst();
  return state;
}

function writeState(state) {
  const kept = new URLSearchParams();
  const put = (name, value) => value && kept.set(name, value);
  put("q", state.q);
  put("v", state.verdicts.join(","));
  for (const name of Object.keys(FACETS)) put(name, state[name]);
  put("sort", state.sort === "plan" ? "" : state.sort);
  put("column", SETS[state.column]?.id);
  const open = [...state.open].sort().join();
  if (open !== [...openAtFirst()].sort().join()) kept.set("open", open);
  put("at", state.at);
  history.replaceState(null, "", `#${kept}`);
}

// Rows are named by numbers: "0" is a NIC, "0.2" the third kind of traffic on it.
const GROUPS = FACETS.group[1];
function openAtFirst() {
  const open = new Set();
  NICS.forEach((nic, n) => {
    if (nic.outcome !== "NOT QUALIFIED" && NICS.length > 1) return;
    open.add(`${n}`);
    open.add(`${n}.0`);
  });
  return open;
}
const allOpen = () =>
  new Set(CELLS.flatMap((cell) => [`${cell.nic}`, `${cell.nic}.${groupOf(cell)}`]));
const groupOf = (cell) => GROUPS.indexOf(FLOWS[cell.flow].group);

// What decides which rows there are, and in which order.
const chosenIn = (state) =>
  [state.q, state.verdicts, state.sort, state.column, ...Object.keys(FACETS).map((name) => state[name])].join("\n");
const filtered = (state) =>
  Boolean(state.q || state.verdicts.length || Object.keys(FACETS).some((name) => state[name]));

function matching(state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set(state.verdicts);
  const flows = FLOWS.map((flow) =>
    ["outer", "inner", "traffic", "group"].every((name) => !state[name] || flow[name] === state[name]),
  );
  return CELLS.filter(
    (cell) =>
      flows[cell.flow] &&
      (!state.nic || NICS[cell.nic].pair === state.nic) &&
      (!verdicts.size || verdicts.has(verdictOf(cell))) &&
      words.every((word) => cell.text.includes(word)),
  );
}

// The tree of rows: NIC, kind of traffic, flow; each with its cells by offload set.
function rowsOf(cells, state) {
  const nics = new Map();
  for (const cell of cells) {
    const nic = child(nics, cell.nic, () => new Node(`${cell.nic}`, 1, cell));
    const group = child(nic.below, groupOf(cell), () => new Node(`${nic.key}.${groupOf(cell)}`, 2, cell));
    const flow = child(group.below, cell.flow, () => new Node(`${group.key}.${cell.flow}`, 3, cell));
    for (const node of [nic, group, flow]) node.add(cell);
  }
  const wide = filtered(state) && cells.length <= 400; // what was looked for is shown
  const rows = [];
  const walk = (nodes) => {
    for (const node of sorted([...nodes.values()], state)) {
      node.open = node.level < 3 && (wide || state.open.has(node.key));
      rows.push(node);
      if (node.open) walk(node.below);
    }
  };
  walk(new Map([...nics].sort(([a], [b]) => a - b))); // those that fail first
  return rows;
}

function child(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

class Node {
  constructor(key, level, cell) {
    Object.assign(this, { key, level, cell, below: new Map(), cells: [], all: [] });
  }
  add(cell) {
    (this.cells[cell.set] ??= []).push(cell);
    this.all.push(cell);
  }
  get name() {
    const flow = FLOWS[this.cell.flow];
    if (this.level === 1) return `${NICS[this.cell.nic].driver} ${NICS[this.cell.nic].firmware}`;
    return this.level === 2 ? flow.group : flow.id;
  }
}

const worst = (cells) =>
  cells.reduce((most, cell) => (badness(verdictOf(cell)) > badness(verdictOf(most)) ? cell : most));
const highest = (cells) => cells.reduce((most, cell) => Math.max(most, cell.bad ? cell.rate ?? 0 : 0), 0);

function sorted(nodes, { sort, column }) {
  const seen = (node) => (column < 0 ? node.all : node.cells[column] ?? []);
  const worstOf = (node) => (seen(node).length ? badness(verdictOf(worst(seen(node)))) : -1);
  const by = {
    plan: () => 0,
    worst: (a, b) => worstOf(b) - worstOf(a) || highest(seen(b)) - highest(seen(a)),
    rate: (a, b) => highest(seen(b)) - highest(seen(a)) || worstOf(b) - worstOf(a),
    name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
  };
  return nodes.sort(by[sort]);
}
