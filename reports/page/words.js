// The words and numbers of the page: one place for each.
"use strict";
const { html, render, Component } = vendor;

// By verdict: a word for a cell, a sentence for the legend, and how bad it is (sorting, summaries).
const VERDICTS = {
  FAIL: ["FAIL", "the NIC sent wrong frames", 9],
  LOSS: ["LOSS", "frames were lost", 8],
  ERROR: ["lab error", "an error of the lab", 7],
  UNTRUSTED: ["untrusted", "a control failed, so nothing is believed", 6],
  INCONCLUSIVE: ["inconclusive", "too few frames", 5],
  KNOWN: ["known", "failed as the expectations file says", 4],
  WAITING: ["not run", "the run has not come to it", 3],
  "NOT EXERCISED": ["no work", "the NIC had nothing to do (NOT EXERCISED)", 2],
  UNSUPPORTED: ["unsupported", "the NIC lacks the feature", 1],
  PASS: ["pass", "no wrong frame; the rate below is excluded", 0],
};
const verdictOf = (cell) => (cell.ran === false ? "WAITING" : cell.verdict);
const badness = (verdict) => VERDICTS[verdict][2];
const kind = (verdict) => `v v-${verdict.replace(" ", "-")}`;
const TONES = { QUALIFIED: "good", "NOT QUALIFIED": "bad", RUNNING: "live" };
const tone = (outcome) => TONES[outcome] ?? "doubt";
const OUTCOME_SHAPES = { good: "PASS", bad: "FAIL", live: "WAITING", doubt: "INCONCLUSIVE" };

const count = (number) => number.toLocaleString("en");

// Three significant digits, as in the sentences of the run: 3.13 %, 0.0948 %.
function percent(rate) {
  if (rate === undefined || rate === null) return "";
  const text = (rate * 100).toPrecision(3);
  return `${text.includes("e") ? Number(text) : text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")} %`;
}

// What a cell shows below its word.
function rateText(cell) {
  const verdict = verdictOf(cell);
  if (verdict === "PASS") return `< ${percent(cell.high ?? 1)}`;
  if (verdict === "LOSS") return `${count(cell.lost ?? 0)} lost`;
  if (cell.bad) return percent(cell.rate);
  return "";
}

// A word of a POSIX shell.
const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// What a host said, such as a firmware's name: isolated, so that it cannot turn the text around it.
const Said = ({ children }) => html`<bdi>${children}</bdi>`;

const Verdict = ({ verdict, children }) =>
  html`<span class=${kind(verdict)}>${children ?? VERDICTS[verdict][0]}</span>`;

class Copied extends Component {
  copy = async (event) => {
    const code = event.currentTarget.previousElementSibling;
    try {
      await navigator.clipboard.writeText(this.props.text);
      this.setState({ done: true });
      setTimeout(() => this.setState({ done: false }), 1500);
    } catch {
      getSelection().selectAllChildren(code); // no clipboard here: Ctrl-C is all that is left to do
    }
  };
  render({ text, what }, { done }) {
    return html`<div class="command">
      ${what && html`<p>${what}</p>`}
      <div class="line">
        <code tabindex="0">${text}</code>
        <button type="button" onClick=${this.copy} aria-label=${`copy: ${text}`}>
          ${done ? "copied" : "copy"}
        </button>
      </div>
    </div>`;
  }
}
