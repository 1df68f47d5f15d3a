// A wrong frame: its bytes, and its fields with what they are and what they should be.

class Frame extends Component {
  render({ frame }, { hot }) {
    const point = (field) => ({
      onMouseEnter: () => this.setState({ hot: field }),
      onMouseLeave: () => this.setState({ hot: null }),
    });
    return html`<ul class="findings">${frame.findings.map((finding) => html`<li>${finding}</li>`)}</ul>
      <${Bytes} frame=${frame} hot=${hot} />
      <div class="sections">${frame.sections.map((section) => html`<${Section} section=${section} frame=${frame} point=${point} />`)}</div>`;
  }
}

const bytesOf = (frame, start, end) => frame.hex.slice(start * 2, end * 2).match(/../g) ?? [];

// Sixteen bytes a line, as every tool shows them; wrong fields stand out, and so does what is pointed at.
function Bytes({ frame, hot }) {
  const marks = [];
  for (const section of frame.sections) {
    for (const field of section.fields ?? []) {
      if (field.should) for (let i = field.start; i < field.end; i++) marks[i] = "wrong";
    }
  }
  if (hot) for (let i = hot.start; i < hot.end; i++) marks[i] = `${marks[i] ?? ""} hot`;
  const shown = frame.hex.length / 2;
  const lines = [];
  for (let at = 0; at < shown; at += 16) {
    const runs = [];
    bytesOf(frame, at, Math.min(shown, at + 16)).forEach((byte, i) => {
      const mark = marks[at + i] ?? "";
      const last = runs[runs.length - 1];
      if (last && last[0] === mark) last[1].push(byte);
      else runs.push([mark, [byte]]);
    });
    lines.push(html`<span class="offset">${at.toString(16).padStart(4, "0")}</span>`, "  ");
    runs.forEach(([mark, bytes], i) => {
      const text = bytes.join(" ");
      lines.push(i ? " " : "", mark ? html`<mark class=${mark}>${text}</mark>` : text);
    });
    lines.push("\n");
  }
  const left = frame.length - shown;
  return html`<pre class="bytes" tabindex="0" aria-label="bytes of the frame">${lines}${left > 0 ? `      … ${count(left)} more bytes of payload` : ""}</pre>`;
}

const STATES_OF_LAYERS = { good: "checksum right", bad: "wrong", absent: "no checksum", unjudged: "not judged" };

function Section({ section, frame, point }) {
  const state = section.state ?? "";
  const fields = section.fields ?? [];
  const words = section.name === "VXLAN" ? { ...STATES_OF_LAYERS, good: "right" } : STATES_OF_LAYERS;
  const size = `bytes ${section.start}–${section.end - 1}`;
  return html`<section class=${`part ${state}`}>
    <h4>${section.name} <small>${size}${words[state] ? ` · ${words[state]}` : ""}</small></h4>
    ${fields.length > 0 && html`<table class="fields"><thead class="spoken"><tr><th scope="col">field</th><th scope="col">bytes</th><th scope="col">value</th></tr></thead><tbody>
      ${fields.map(
        (field) => html`<tr class=${field.should ? "wrong" : ""} ...${point(field)}>
          <th scope="row">${field.name}</th>
          <td class="raw">${bytesOf(frame, field.start, field.end).join(" ")}</td>
          <td>${field.should
            ? html`<span class="is">is <b>${field.text}</b></span> <span class="should">should be <b>${field.should}</b></span>`
            : field.text}</td>
        </tr>`,
      )}</tbody></table>`}
  </section>`;
}
