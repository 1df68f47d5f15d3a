// The evidence of a cell, or of several that a summary stands for.

function Evidence({ at, show, close }) {
  const cell = BY_ID.get(at);
  const title = cell ? cell.id : groupTitle(at);
  if (title === null) return null;
  return html`<aside aria-labelledby="evidence-title" class="evidence">
    <header>
      <h2 id="evidence-title" tabindex="-1">${cell ? breakable(title) : title}</h2>
      <button type="button" class="close" onClick=${close} aria-label="close the evidence">✕</button>
    </header>
    ${cell ? html`<${CellEvidence} cell=${cell} show=${show} />` : html`<${Inside} at=${at} show=${show} />`}
  </aside>`;
}

// "0.2/5": the third kind of traffic on the first NIC under the sixth offload set.
function membersOf(at) {
  const [row, set] = at.split("/");
  const [nic, group] = row.split(".");
  return CELLS.filter(
    (cell) =>
      String(cell.nic) === nic && String(cell.set) === set &&
      (group === undefined || String(groupOf(cell)) === group),
  );
}

function groupTitle(at) {
  const members = /^[\d.]+\/\d+$/.test(at) ? membersOf(at) : [];
  if (!members.length) return null;
  const group = at.split("/")[0].includes(".") ? `, ${FLOWS[members[0].flow].group}` : "";
  return `${NICS[members[0].nic].pair}, ${SETS[members[0].set].id}${group}`;
}

function Inside({ at, show }) {
  const members = membersOf(at).sort((a, b) => badness(verdictOf(b)) - badness(verdictOf(a)) || (b.rate ?? 0) - (a.rate ?? 0));
  return html`<p>${plural(members.length, "flow")} inside, the worst first.</p>
    <ul class="inside">${members.map(
      (cell) => html`<li><button type="button" onClick=${() => show(cell.id)}>
        <${Verdict} verdict=${verdictOf(cell)} /> <span>${FLOWS[cell.flow].id}</span> <small>${rateText(cell)}</small>
      </button></li>`,
    )}</ul>`;
}

function CellEvidence({ cell, show }) {
  const nic = NICS[cell.nic];
  const detail = cell.detail ?? {};
  const verdict = verdictOf(cell);
  const culprit = (nic.culprits ?? []).find((one) => (one.off ?? []).join() === (cell.culprit ?? []).join() && one.off?.length);
  return html`
    <p class="result"><${Verdict} verdict=${verdict}>${verdict === "WAITING" ? "not run" : cell.verdict}<//>
      ${cell.bad ? html` <b>${percent(cell.rate)}</b> <span>${count(cell.bad)} of ${plural(cell.frames, "frame")}, ${percent(cell.low ?? 0)} to ${percent(cell.high ?? 1)} at ${percent(RUN.confidence)}</span>` : ""}</p>
    <p class="sentence">${cell.reason}.</p>
    <dl>
      <dt>NIC</dt><dd><${Said}>${nic.driver}<//>, firmware <${Said}>${nic.firmware}<//>, on <${Said}>${nic.host} ${nic.interface}<//>, kernel <${Said}>${nic.kernel}<//></dd>
      ${cell.signature && html`<dt>signature</dt><dd>${cell.signature}</dd>`}
      ${cell.expectation && html`<dt>expectation</dt><dd>${cell.expectation}</dd>`}
      ${cell.wire && html`<dt>wire</dt><dd>${cell.wire}</dd>`}
      ${cell.culprit && html`<dt>culprit</dt><dd><strong>${cell.culprit.join(" + ")}</strong></dd>`}
      ${culprit && html`<dt>proof</dt><dd>${culprit.reason}${culprit.proof && culprit.proof !== cell.id
        ? html` (<a href="#" onClick=${(event) => { event.preventDefault(); show(culprit.proof); }}>${culprit.proof}</a>)` : ""}</dd>`}
    </dl>
    ${cell.culprit && (nic.remedies ?? []).map((one) => html`<${Copied} what=${one.what} text=${one.text} />`)}
    ${(detail.dimensions ?? []).length > 0 && html`<h3>Rates</h3><${Rates} cell=${cell} dimensions=${detail.dimensions} />`}
    ${detail.frame && html`<h3>First wrong frame <small>${plural(detail.frame.length, "byte")}</small></h3><${Frame} frame=${detail.frame} />`}
    ${(detail.shapes ?? []).length > 0 && html`<h3>Frames received</h3><${Table} head=${["shape", "wrong in it", "sent", "captured", "delivered"]} rows=${detail.shapes} />`}
    ${(detail.figures ?? []).length > 0 && html`<h3>Frames</h3><${Table} head=${["what", "how many"]} rows=${detail.figures} />`}
    ${(detail.counters ?? []).length > 0 && html`<h3>Counters that moved</h3><${Table} head=${["counter", `on the DUT, ${nic.host}`, "on the peer"]} rows=${detail.counters} />`}
    ${(detail.log ?? []).length > 0 && html`<h3>Kernel log</h3><pre class="log" tabindex="0">${detail.log.join("\n")}</pre>`}
    <h3>Features</h3><${Features} cell=${cell} refused=${detail.refused ?? []} />
    <h3>Run it again</h3>${commandsOf(cell).map(([what, text]) => html`<${Copied} what=${what} text=${text} />`)}`;
}

// Rates as dots with their intervals, on one scale for the cell; the line is the rate of all frames.
function Rates({ cell, dimensions }) {
  const every = dimensions.flatMap((one) => one.rates).filter((one) => one.frames);
  const top = Math.min(1, Math.max(...every.map((one) => one.bad / one.frames), cell.high ?? 0) * 1.6) || 1;
  const x = (rate) => `${(100 * Math.min(rate, top)) / top}%`;
  return html`<p class="scale">dots are rates, bars their intervals at ${percent(RUN.confidence)}, from 0 to ${percent(top)}; the line is the whole cell</p>
    ${dimensions.map(
      (one) => html`<table class="rates"><caption>${one.name}</caption>
        <thead class="spoken"><tr><th scope="col">${one.name}</th><th scope="col">plot</th><th scope="col">wrong of frames, rate</th></tr></thead>
        <tbody>${one.rates.map((at) => {
          const rate = at.frames ? at.bad / at.frames : 0;
          return html`<tr><th scope="row">${at.value}</th>
            <td class="plot"><svg aria-hidden="true" width="100%" height="18">
              <line class="base" x1="0" x2="100%" y1="9" y2="9" />
              <line class="whole" x1=${x(cell.rate ?? 0)} x2=${x(cell.rate ?? 0)} y1="0" y2="18" />
              <line class="interval" x1=${x(at.low ?? 0)} x2=${x(at.high ?? 1)} y1="9" y2="9" />
              <circle class=${at.bad ? "some" : "no"} cx=${x(rate)} cy="9" r="4" />
            </svg></td>
            <td>${count(at.bad ?? 0)} of ${count(at.frames)}<small>${percent(rate)}</small></td></tr>`;
        })}</tbody></table>`,
    )}`;
}

const shown = (value) => (typeof value === "number" ? count(value) : value);
const Table = ({ head, rows }) => html`<table class="list">
  <thead><tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
  <tbody>${rows.map(([name, ...values]) => html`<tr><th scope="row">${name}</th>${values.map((value) => html`<td>${shown(value)}</td>`)}</tr>`)}</tbody>
</table>`;

function Features({ cell, refused }) {
  const requested = STATES[cell.requested];
  const effective = STATES[cell.effective];
  const names = [...new Set([...Object.keys(requested), ...Object.keys(effective)])];
  const word = (on) => (on === undefined ? "–" : on ? "on" : "off");
  return html`<table class="list features"><thead><tr><th scope="col">feature</th><th scope="col">requested</th><th scope="col">in effect</th></tr></thead>
    <tbody>${names.map((name) => html`<tr class=${requested[name] !== undefined && effective[name] !== undefined && requested[name] !== effective[name] ? "differs" : ""}>
      <th scope="row">${name}${refused.includes(name) ? " (refused)" : ""}</th><td>${word(requested[name])}</td><td>${word(effective[name])}</td></tr>`)}</tbody></table>`;
}

function commandsOf(cell) {
  const nic = NICS[cell.nic];
  const flow = FLOWS[cell.flow];
  const chosen = `[${cell.id}]`.split("@").join(" and ");
  const wanted = Object.entries(STATES[cell.requested]).map(([name, on]) => `${name} ${on ? "on" : "off"}`);
  const peer = (nic.facts ?? []).find(([name]) => name === "watched by")?.[1].split(" ") ?? ["", "IFACE"];
  const commands = [
    ["this cell alone, with the same payloads",
      `vxqual run ${quoted(RUN.topology)} --plan ${RUN.plan} --pair ${quoted(nic.pair)} --seed ${RUN.seed} -k ${quoted(chosen)}`],
  ];
  if (wanted.length) commands.push([`the same offloads by hand, on ${nic.host}`, `ethtool -K ${quoted(nic.interface)} ${wanted.join(" ")}`]);
  if (flow.port) {
    commands.push([`what arrives, on ${peer[0]}: then vxqual verify vxlan.pcap`, `tcpdump -i ${quoted(peer[1])} -w vxlan.pcap udp port ${flow.port}`]);
  }
  return commands;
}
