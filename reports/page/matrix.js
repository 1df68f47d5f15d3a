// The matrix: a tree of rows (NIC, kind of traffic, flow) by offload sets.

// What a summary of several cells shows: the worst verdict, how many have it, the highest rate.
function Summary({ cells }) {
  const one = worst(cells);
  const verdict = verdictOf(one);
  if (cells.length === 1) return html`${VERDICTS[verdict][0]}<small>${rateText(one)}</small>`;
  const same = cells.filter((cell) => verdictOf(cell) === verdict);
  const rate = highest(same);
  const few = same.length < cells.length ? `${same.length} of ${cells.length}` : `all ${cells.length}`;
  return html`${VERDICTS[verdict][0]}<small>${few}${rate ? ` · ${percent(rate)}` : ""}</small>`;
}

class Row extends Component {
  shouldComponentUpdate({ node, at }) {
    const now = this.props.node;
    return (
      node.open !== now.open || at !== this.props.at ||
      node.all.length !== now.all.length || node.all.some((cell, i) => cell !== now.all[i])
    );
  }
  render({ node, at }) {
    return html`<tr role="row" aria-level=${node.level} class=${`level${node.level}`}
        aria-expanded=${node.level < 3 ? String(node.open) : undefined} data-key=${node.key}>
      <th role="rowheader" scope="row" tabindex="-1"><${Label} node=${node} /></th>
      ${SETS.map((set, s) => {
        const cells = node.cells[s];
        if (!cells) return html`<td role="gridcell" class="none" tabindex="-1"></td>`;
        const key = node.level === 3 ? cells[0].id : `${node.key}/${s}`;
        return html`<td role="gridcell" tabindex="-1" data-at=${key} data-set=${set.id}
          aria-selected=${at === key ? "true" : undefined}
          class=${kind(verdictOf(worst(cells)))}><${Summary} cells=${cells} /></td>`;
      })}
    </tr>`;
  }
}

function Label({ node }) {
  const nic = NICS[node.cell.nic];
  const flow = FLOWS[node.cell.flow];
  if (node.level === 1) {
    return html`<b><${Said}>${nic.driver}<//> <${Said}>${nic.firmware}<//></b>
      <small><${Said}>${nic.host} ${nic.interface}<//>, kernel <${Said}>${nic.kernel}<//></small>`;
  }
  if (node.level === 2) return html`${flow.group}${" "}<small>${plural(node.below.size, "flow")}</small>`;
  return html`<span>${flow.outer}${flow.inner && html`<span class="in"> ▸ ${flow.inner}</span>`}</span>
${" "}<small>${flow.traffic}</small>`;
}

const EFFECTS = { on: ["●", "in effect"], off: ["○", "off"], mixed: ["◐", "on some NICs"], "": ["·", "unknown"] };

// What is in effect under each set: a row for each feature, and where the features stay the same,
// no line between two columns.
function Head({ state, sortBy }) {
  const culprits = new Set(NICS.flatMap((nic) => (nic.culprits ?? []).flatMap((one) => one.off ?? [])));
  const edge = SETS.map((set, s) => s > 0 && set.effects.join() !== SETS[s - 1].effects.join());
  return html`<thead>
    ${FEATURES.map(
      ([name, short], f) => html`<tr role="row" class=${culprits.has(name) ? "feature culprit" : "feature"}>
        <th role="rowheader" scope="row" title=${name}>${short}${culprits.has(name) && html` <em>culprit</em>`}</th>
        ${SETS.map((set, s) => {
          const [mark, word] = EFFECTS[set.effects[f]];
          return html`<td role="gridcell" class=${`effect ${set.effects[f]} ${edge[s] ? "edge" : ""}`}
            title=${`${name}: ${word}`}><span aria-hidden="true">${mark}</span><span class="spoken">${word}</span></td>`;
        })}
      </tr>`,
    )}
    <tr role="row">
      <th role="columnheader" scope="col" class="corner">NIC and traffic</th>
      ${SETS.map((set, s) => {
        const by = state.column === s;
        return html`<th role="columnheader" scope="col" class=${edge[s] ? "edge" : ""}
          aria-sort=${by ? "descending" : undefined}>
          <button type="button" title="sort rows by this offload set" onClick=${() => sortBy(s)}>
          ${breakable(set.id)}${by ? " ▼" : ""}</button></th>`;
      })}
    </tr>
  </thead>`;
}

// Lets a long name break behind its hyphens and plus signs.
const breakable = (name) => name.split(/(?<=[-+])/).flatMap((part) => [part, html`<wbr />`]);

// After a choice the first rows are drawn at once, more than a window shows, and the others in
// steps between which the browser answers: so nothing waits for thousands of cells, and yet all of
// them are there, for the browser's own search, for paper and for screen readers.
const [FIRST_ROWS, MORE_ROWS, PAUSE] = [22, 40, 30]; // rows, rows, milliseconds: what is there is painted first

class Matrix extends Component {
  state = { chosen: this.props.chosen, limit: this.props.whole ? Infinity : FIRST_ROWS };
  static getDerivedStateFromProps({ chosen }, state) {
    return chosen === state.chosen ? null : { chosen, limit: FIRST_ROWS };
  }
  componentDidMount() {
    addEventListener("beforeprint", () => this.setState({ limit: Infinity }));
    this.componentDidUpdate();
  }
  componentDidUpdate() {
    clearTimeout(this.more);
    if (this.state.limit < this.props.rows.length) {
      this.more = setTimeout(() => this.setState(({ limit }) => ({ limit: limit + MORE_ROWS })), PAUSE);
    }
    if (this.table && !this.table.querySelector("[tabindex='0']")) {
      const first = this.table.querySelector("tbody th");
      if (first) first.tabIndex = 0;
    }
  }
  // One place of the table can be reached by Tab; the arrows move it.
  go(to) {
    if (!to) return;
    for (const old of this.table.querySelectorAll("[tabindex='0']")) old.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
  act(place) {
    if (place.tagName === "TH") this.props.toggle(place.parentNode.dataset.key);
    else if (place.dataset.at) this.props.show(place.dataset.at);
  }
  clicked = (event) => {
    const place = event.target.closest("tbody th, tbody td");
    if (!place || !getSelection().isCollapsed) return;
    this.go(place);
    this.act(place);
  };
  pressed = (event) => {
    const place = event.target.closest("tbody th, tbody td");
    if (!place || event.ctrlKey || event.metaKey || event.altKey) return;
    const row = place.parentNode;
    const open = row.getAttribute("aria-expanded");
    const at = [...row.children].indexOf(place);
    const head = place.tagName === "TH";
    const rows = row.parentNode.rows;
    const level = Number(row.getAttribute("aria-level"));
    const keys = {
      ArrowDown: () => this.go(row.nextElementSibling?.children[at]),
      ArrowUp: () => this.go(row.previousElementSibling?.children[at]),
      PageDown: () => this.go(rows[Math.min(rows.length - 1, row.sectionRowIndex + 15)].children[at]),
      PageUp: () => this.go(rows[Math.max(0, row.sectionRowIndex - 15)].children[at]),
      ArrowRight: () => (head && open === "false" ? this.act(place) : this.go(place.nextElementSibling)),
      ArrowLeft: () => {
        if (!head) return this.go(place.previousElementSibling);
        if (open === "true") return this.act(place);
        let above = row.previousElementSibling;
        while (above && Number(above.getAttribute("aria-level")) >= level) above = above.previousElementSibling;
        return this.go(above?.children[0]);
      },
      Home: () => this.go(row.children[0]),
      End: () => this.go(row.lastElementChild),
      Enter: () => this.act(place),
      " ": () => this.act(place),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  };
  render({ rows, state, sortBy }, { limit }) {
    return html`<div class="scroll">
      <table role="treegrid" aria-label="verdicts by NIC, traffic and offload set" ref=${(t) => (this.table = t)}
        onClick=${this.clicked} onKeyDown=${this.pressed}>
        <${Head} state=${state} sortBy=${sortBy} />
        <tbody>${rows.slice(0, limit).map((node) => html`<${Row} key=${node.key} node=${node} at=${state.at} />`)}</tbody>
      </table>
      ${!rows.length && html`<p class="empty">No cell matches. <b>Esc</b> in the search field clears it.</p>`}
    </div>`;
  }
}
