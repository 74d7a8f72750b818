// Rules with an end, which one person asks for and another approves.

import { Failed, ask } from "./api.js";
import { act, button, byId, element, row, sure } from "./page.js";

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const OVER = new Set(["ended", "lapsed", "revoked"]);

export class Grants {
  constructor() {
    this.form = byId("grant-form");
    this.table = byId("grants");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.request(Object.fromEntries(new FormData(this.form)));
    });
  }

  async refresh(caller) {
    this.caller = caller ?? this.caller;
    let found;
    try {
      found = await ask("GET", "api/grants");
    } catch (error) {
      if (!(error instanceof Failed) || error.status === 401) throw error;
      // This gateway gives none.
      byId("grants-section").hidden = true;
      return;
    }
    byId("grants-section").hidden = false;
    const held = document.activeElement?.dataset?.grant;
    this.table.tBodies[0].replaceChildren(...found.map((each) => this.row(each)));
    if (held) this.table.querySelector(`button[data-grant="${held}"]`)?.focus();
  }

  row(grant) {
    const { number } = grant;
    const acts = element("span", { className: "acts" });
    const offer = (text, label, pressed, kind) => {
      const made = button(text, `${label} grant ${number}`, pressed, kind);
      made.dataset.grant = `${text}${number}`;
      acts.append(made, " ");
    };
    if (grant.state === "pending" && grant.requested_by !== this.caller) {
      offer("Approve", "Approve", () => this.approve(grant));
    }
    if (!OVER.has(grant.state)) {
      offer("End", "End", () => this.end(grant), "danger");
    }
    const until = grant.until ? new Date(grant.until).toLocaleString() : "";
    return row([
      ["Grant", `${number} · by ${grant.requested_by}`],
      ["Allows", grant.allows],
      ["Ticket", [grant.ticket, grant.why].filter(Boolean).join(": ")],
      ["State", grant.approved_by ? `${grant.state} · by ${grant.approved_by}` : grant.state],
      ["Until", until],
      ["", acts],
    ]);
  }

  async request(given) {
    const body = { who: words(given.who), to: words(given.to), for: given.for.trim(),
      ticket: given.ticket.trim() };
    if (given.ports.trim()) body.ports = words(given.ports);
    if (given.why.trim()) body.why = given.why.trim();
    const made = await act(() => ask("POST", "api/grants", { body }),
      (grant) => `grant ${grant.number} waits for somebody else to approve it`);
    if (made) {
      this.form.reset();
      await this.refresh();
    }
  }

  async approve({ number, allows }) {
    if (!(await sure(`Approve grant ${number} (${allows})?`))) return;
    const path = `api/grants/${number}/approve`;
    await act(() => ask("POST", path), `grant ${number} is in force`);
    await this.refresh();
  }

  async end({ number, allows }) {
    if (!(await sure(`End grant ${number} (${allows})?`))) return;
    await act(() => ask("DELETE", `api/grants/${number}`), `grant ${number} is over`);
    await this.refresh();
  }
}
