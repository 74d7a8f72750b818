// The live sessions: chosen, sorted, told of, ended.

import { ask } from "./api.js";
import { act, age, button, byId, element, octets, place, row, sure } from "./page.js";

const MOST = 200;

export class Sessions {
  constructor(may) {
    this.may = may;
    this.sort = "octets";
    this.order = "desc";
    this.chosen = {};
    this.form = byId("filter");
    this.table = byId("sessions-table");
    for (const head of this.table.querySelectorAll("th[data-sort]")) {
      const text = head.textContent;
      head.textContent = "";
      head.append(button(text, `Sort by ${text}`, () => this.by(head.dataset.sort)));
    }
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.choose(Object.fromEntries(new FormData(this.form)));
    });
    this.form.addEventListener("reset", () => this.choose({}));
    byId("kill-chosen").addEventListener("click", () => this.killChosen());
  }

  choose(fields) {
    const given = Object.entries(fields).map(([name, text]) => [name, text.trim()]);
    this.chosen = Object.fromEntries(given.filter(([, text]) => text));
    return act(() => this.refresh(), "");
  }

  by(sort) {
    this.order = this.sort === sort && this.order === "desc" ? "asc" : "desc";
    this.sort = sort;
    return act(() => this.refresh(), "");
  }

  async refresh() {
    const query = { ...this.chosen, sort: this.sort, order: this.order, limit: MOST };
    const found = await ask("GET", "api/sessions", { query });
    const shown = found.sessions.length;
    const all = `${found.matched} of ${found.live} live sessions`;
    byId("sessions-caption").textContent =
      shown < found.matched ? `The first ${shown} of ${all}` : all;
    // Only several processes have numbers.
    this.workers = found.sessions.some((each) => each.worker);
    byId("sessions-worker").hidden = !this.workers;
    this.heads();
    // The keyboard stays where it was.
    const held = document.activeElement?.dataset?.session;
    this.table.tBodies[0].replaceChildren(...found.sessions.map((each) => this.row(each)));
    if (held) this.table.querySelector(`button[data-session="${held}"]`)?.focus();
    return found;
  }

  heads() {
    for (const head of this.table.querySelectorAll("th[data-sort]")) {
      const here = head.dataset.sort === this.sort;
      const way = this.order === "asc" ? "ascending" : "descending";
      if (here) head.setAttribute("aria-sort", way);
      else head.removeAttribute("aria-sort");
    }
  }

  row(session) {
    const number = session.session;
    const to = `${session.command} ${place(session.asked, session.port)}`;
    const story = button(String(number), `Story of session ${number}`,
      () => tellStory(number));
    story.dataset.session = `s${number}`;
    const acts = element("span");
    if (this.may("operate")) {
      const kill = button("End", `End session ${number}`, () => this.kill(number, to),
        "danger");
      kill.dataset.session = `k${number}`;
      acts.append(kill);
    }
    return row([
      ["Number", story],
      ["User", session.user + (session.tag ? ` · ${session.tag}` : "")],
      ["Client", session.client],
      ["Destination", to],
      ["Rule", session.rule],
      ...(this.workers ? [["Worker", String(session.worker ?? "–")]] : []),
      ["Age", age(session.seconds)],
      ["Sent", octets(session.sent), "number"],
      ["Received", octets(session.received), "number"],
      ["", acts],
    ]);
  }

  async kill(number, to) {
    if (!(await sure(`End session ${number} (${to})?`))) return;
    await act(() => ask("DELETE", `api/sessions/${number}`), `session ${number} has ended`);
    await act(() => this.refresh(), `session ${number} has ended`);
  }

  async killChosen() {
    const query = { ...this.chosen };
    const given = Object.entries(query).map(([name, text]) => `${name} ${text}`);
    const which = given.length ? `the sessions with ${given.join(", ")}` : "all sessions";
    if (!given.length) query.all = "true";
    if (!(await sure(`End ${which}?`))) return;
    const ended = await act(() => ask("DELETE", "api/sessions", { query }),
      (answer) => `${answer.ended} sessions have ended`);
    if (ended) await this.refresh();
  }
}

async function tellStory(number) {
  const found = await act(() => ask("GET", `api/sessions/${number}`), "");
  if (!found) return;
  byId("story-title").textContent = `Session ${number}`;
  const body = byId("story-body");
  body.replaceChildren();
  if (found.facts) body.append(facts(found.facts));
  body.append(element("h3", { text: "In the journal" }));
  for (const line of found.journal) body.append(facts(line));
  if (!found.journal.length) body.append(element("p", { text: "nothing yet" }));
  byId("story").showModal();
}

function facts(all) {
  const list = element("dl");
  for (const [name, value] of Object.entries(all)) {
    const empty = value === null || value === "" || value.length === 0;
    if (empty || name === "hash" || name === "v") continue;
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    list.append(element("dt", { text: name }), element("dd", { text }));
  }
  return list;
}
