// The page: what the run says, what to look for in it, the matrix, and the evidence beside it.
const REFRESH = 5000; // milliseconds; how often a page of a run that goes on is read again

class Page extends Component {
  constructor() {
    super();
    this.place = remembered();
    this.state = readState();
  }
  componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    addEventListener("hashchange", () => this.setState(readState()));
    if (RUN.live) setInterval(follow, REFRESH);
    if (this.place) recall(this.place);
    else if (this.state.at) this.reveal("center");
  }
  reveal(block) {
    document.querySelector("[aria-selected]")?.scrollIntoView({ block, inline: "nearest" });
  }
  choose = (change, then) => this.setState(change, () => {
    writeState(this.state);
    then?.();
  });
  show = (at) => {
    this.back ??= document.activeElement;
    this.choose({ at }, () => {
      this.reveal("nearest");
      document.getElementById("evidence-title")?.focus({ preventScroll: true });
      document.querySelector(".evidence")?.scrollTo(0, 0);
    });
  };
  close = () => {
    const back = this.back ?? document.querySelector("[aria-selected]");
    this.back = null;
    this.choose({ at: "" }, () => back?.focus());
  };
  toggle = (key) => {
    if (key.split(".").length > 2) return;
    const open = new Set(this.state.open);
    if (!open.delete(key)) open.add(key);
    this.choose({ open });
  };
  sortBy = (column) => {
    const again = this.state.column === column;
    this.choose({ column: again ? -1 : column, sort: again ? "plan" : "rate" });
  };
  pressed = (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      document.getElementById("search").focus();
    }
    if (event.key === "Escape" && event.target.id === "search") this.choose({ q: "" });
    else if (event.key === "Escape" && this.state.at) this.close();
  };
  render(_, state) {
    const cells = matching(state);
    const rows = rowsOf(cells, state);
    return html`<div class=${state.at ? "page beside" : "page"}>
      <main>
        <${Story} show=${this.show} />
        <${Tools} state=${state} choose=${this.choose} found=${cells.length} />
        <${Matrix} rows=${rows} state=${state} chosen=${chosenIn(state)} whole=${Boolean(this.place || state.at)}
          toggle=${this.toggle} show=${this.show} sortBy=${this.sortBy} />
        <${Legend} />
      </main>
      ${state.at && html`<${Evidence} at=${state.at} show=${this.show} close=${this.close} />`}
    </div>`;
  }
}

// Not while somebody marks text or types: the page would be taken from under their hands.
function follow() {
  const typing = /^(INPUT|SELECT)$/.test(document.activeElement?.tagName ?? "");
  if (document.hidden || !getSelection().isCollapsed || typing) return;
  remember();
  location.reload();
}

// What a browser does not keep by itself when it reads the page again: how far the matrix and the
// evidence are scrolled, and which place of the matrix has the focus.
const SCROLLED = [".scroll", ".evidence"];
const PLACE = "vxqual place";
function remember() {
  const focused = document.activeElement?.closest("tbody th, tbody td");
  const place = {
    window: [scrollX, scrollY],
    parts: SCROLLED.map((part) => document.querySelector(part)).map((part) => part && [part.scrollLeft, part.scrollTop]),
    row: focused?.parentNode.dataset.key,
    column: focused && [...focused.parentNode.children].indexOf(focused),
  };
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(place));
  } catch {
    // some browsers keep nothing for files; then the page begins at its top
  }
}
function remembered() {
  try {
    const place = JSON.parse(sessionStorage.getItem(PLACE));
    sessionStorage.removeItem(PLACE);
    return place;
  } catch {
    return null;
  }
}
function recall(place) {
  SCROLLED.forEach((part, i) => place.parts[i] && document.querySelector(part)?.scrollTo(...place.parts[i]));
  const row = place.row && document.querySelector(`tr[data-key="${place.row}"]`);
  row?.children[place.column]?.focus({ preventScroll: true });
  scrollTo(...place.window);
}

class Story extends Component {
  shouldComponentUpdate() {
    return false; // it says what the run found, whatever is looked for
  }
  render({ show }) {
    return html`<${Outcome} />${NICS.map((nic) => html`<${Nic} nic=${nic} show=${show} />`)}`;
  }
}

function Outcome() {
  const shade = tone(RUN.outcome);
  const [, rest] = RUN.headline.startsWith(RUN.outcome) ? [0, RUN.headline.slice(RUN.outcome.length).replace(/^[:.]\s*/, "")] : [0, RUN.headline];
  const age = Math.round((Date.now() - Date.parse(RUN.written)) / 1000);
  return html`<header class=${`outcome ${shade}`}>
    <h1><span class=${kind(OUTCOME_SHAPES[shade])}>${RUN.outcome}</span></h1>
    <p class="headline"><${Said}>${rest}<//></p>
    ${RUN.live && html`<p><progress max=${RUN.selected} value=${RUN.done} aria-label="cells done"></progress>
      ${age > 60 ? ` This page was written ${plural(Math.round(age / 60), "minute")} ago: the run may have been killed.` : " This page follows the run."}</p>`}
    <p class="about">Run ${RUN.id} of <${Said}>${RUN.topology}<//>, plan ${RUN.plan}, ${when(RUN.started)}${RUN.finished && ` to ${when(RUN.finished)}`}.
      A pass excludes a corruption rate of ${percent(RUN.rate)} at ${percent(RUN.confidence)} confidence. vxqual ${RUN.version}.</p>
    ${(RUN.troubles ?? []).map((text) => html`<p class="trouble">${text}</p>`)}
  </header>`;
}

const firstWrong = (id) => BY_ID.get(id)?.detail?.frame?.findings.join("; ");
const when = (time) => time.replace("T", " ").replace(/\+00:00$/, " UTC");

function Nic({ nic, show }) {
  const shade = tone(nic.outcome);
  const culprits = (nic.culprits ?? []).filter((one) => one.off?.length);
  const open = (id) => (event) => {
    event.preventDefault();
    show(id);
  };
  const known = html`<details><summary>about this NIC</summary><dl>${(nic.facts ?? []).map(
    ([name, value]) => html`<dt>${name}</dt><dd><${Said}>${value}<//></dd>`,
  )}</dl></details>`;
  return html`<section class=${`nic ${shade}`} aria-label=${`NIC of pair ${nic.pair}`}>
    <h2><span class=${kind(OUTCOME_SHAPES[shade])}>${nic.outcome}</span> <${Said}>${nic.driver}<//>, firmware <${Said}>${nic.firmware}<//>
      <small><${Said}>${nic.pair}: ${nic.host} ${nic.interface}<//>, kernel <${Said}>${nic.kernel}<//></small></h2>
    <dl class="story">
      ${(nic.faults ?? []).map((one) => html`<dt>${{ FAIL: "wrong", LOSS: "lost" }[one.verdict] ?? VERDICTS[one.verdict][0]}</dt>
        <dd>${one.reason}.${one.signature && html`<br />${one.signature}.`}
          ${firstWrong(one.cell) && html`<br />The first wrong frame: ${firstWrong(one.cell)}.`}
          <br /><a href="#" onClick=${open(one.cell)}>${one.cell}</a>${one.cells > 1 ? ` and ${plural(one.cells - 1, "more cell")}` : ""}</dd>`)}
      ${nic.where && html`<dt>where</dt><dd>${nic.where}.</dd>`}
      ${(nic.symptoms ?? []).map((text) => html`<dt>symptom</dt><dd>${text}.</dd>`)}
      ${culprits.map((one) => html`<dt>culprit</dt><dd><strong>${one.off.join(" + ")}</strong>${one.device === "vxlan" ? " of the VXLAN device" : ""}: ${plural(one.cells, "failing cell")} of ${plural(one.flows, "flow")}.
        <br />Proof: ${one.reason}${one.proof && html` (<a href="#" onClick=${open(one.proof)}>${one.proof}</a>)`}.</dd>`)}
      ${(nic.culprits ?? []).filter((one) => !one.off?.length).map((one) => html`<dt>culprit</dt><dd>unknown for ${plural(one.cells, "failing cell")}: ${one.reason}.</dd>`)}
      ${(nic.remedies ?? []).length > 0 && html`<dt>mitigation</dt><dd>${nic.remedies.map((one) => html`<${Copied} what=${one.what} text=${one.text} />`)}</dd>`}
    </dl>
    ${known}
  </section>`;
}

class Tools extends Component {
  render({ state, choose, found }) {
    const totals = {};
    for (const cell of CELLS) totals[verdictOf(cell)] = (totals[verdictOf(cell)] ?? 0) + 1;
    const flip = (verdict) => choose({
      verdicts: state.verdicts.includes(verdict) ? state.verdicts.filter((v) => v !== verdict) : [...state.verdicts, verdict],
    });
    const clear = { q: "", verdicts: [], nic: "", outer: "", inner: "", traffic: "", group: "" };
    return html`<form class="tools" role="search" aria-label="cells" onSubmit=${(event) => event.preventDefault()}>
      <label class="search">search <input id="search" type="search" value=${state.q} placeholder="for example: outer6 tcp noise" autocomplete="off"
        onInput=${(event) => choose({ q: event.target.value })} /></label>
      <div class="verdicts" role="group" aria-label="verdicts">${Object.keys(VERDICTS).filter((v) => totals[v]).map(
        (v) => html`<button type="button" aria-pressed=${String(state.verdicts.includes(v))} onClick=${() => flip(v)}><${Verdict} verdict=${v} /> ${count(totals[v])}</button>`,
      )}</div>
      ${Object.entries(FACETS).filter(([, [, values]]) => values.length > 1).map(
        ([name, [label, values]]) => html`<label>${label} <select value=${state[name]} onChange=${(event) => choose({ [name]: event.target.value })}>
          <option value="">any</option>${values.map((value) => html`<option value=${value}>${value}</option>`)}</select></label>`,
      )}
      <label>order <select value=${state.sort} onChange=${(event) => choose({ sort: event.target.value, column: -1 })}>
        ${Object.entries(SORTS).map(([name, text]) => html`<option value=${name}>${text}</option>`)}</select></label>
      <button type="button" onClick=${() => choose({ open: allOpen() })}>expand all</button>
      <button type="button" onClick=${() => choose({ open: new Set(NICS.map((_, n) => `${n}`)) })}>collapse</button>
      ${filtered(state) && html`<button type="button" onClick=${() => choose(clear)}>show all cells</button>`}
      <output aria-live="polite">${found === CELLS.length ? plural(found, "cell") : `${count(found)} of ${plural(CELLS.length, "cell")}`}</output>
    </form>`;
  }
}

const Legend = () => html`<footer>
  <ul class="legend">${Object.entries(VERDICTS).map(([v, [, text]]) => html`<li><${Verdict} verdict=${v} /> ${text}</li>`)}</ul>
  <p>A row is outside ▸ inside: there, csum says that an outer UDP checksum is asked for, no csum that it is 0, and plain that there is no tunnel.</p>
  ${FEATURES.length > 0 && html`<p>Features: ${FEATURES.map(([name, short], f) => `${f ? ", " : ""}${short} is ${name}`)}.</p>`}
  <p><b>●</b> in effect <b>○</b> off. Click a cell, or press Enter on it, for its evidence; arrows move, → opens a row and ← closes it, / searches, Esc closes.</p>
</footer>`;

document.getElementById("page").replaceChildren();
render(html`<${Page} />`, document.getElementById("page"));
