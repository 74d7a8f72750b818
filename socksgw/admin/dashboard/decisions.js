// Decisions, as they happen.

import { events } from "./api.js";
import { byId, element, place } from "./page.js";

const KEPT = 200;
const AGAIN = 3000;
const HEARD = [
  "decision", "refused", "login-failed", "denials", "refusals", "flow", "admin", "grant",
  "reloaded", "reload-failed", "upstream", "sink", "worker",
];

// Lines about a client have one; the others tell of the gateway.
function text(line) {
  return line.client ? ofClient(line) : ofGateway(line);
}

function ofClient(line) {
  const who = line.user || line.claimed || "somebody";
  const tag = line.tag ? ` (${line.tag})` : "";
  const to = line.asked ? ` → ${line.command} ${place(line.asked, line.port)}` : "";
  const rule = line.rule ? ` by rule "${line.rule}"` : "";
  const why = line.why || line.reason;
  return `${who}${tag} from ${line.client}${to}${rule}${why ? `: ${why}` : ""}`;
}

function ofGateway(line) {
  const plain = ["v", "n", "time", "event", "hash"];
  return Object.entries(line)
    .filter(([name, value]) => !plain.includes(name) && value !== "")
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" · ");
}

export class Decisions {
  constructor() {
    this.list = byId("events");
    this.paused = false;
    const pause = byId("events-pause");
    pause.addEventListener("click", () => {
      this.paused = !this.paused;
      pause.setAttribute("aria-pressed", String(this.paused));
    });
  }

  heard(kind, line) {
    if (kind === "skipped") {
      this.put(element("li", { text: `… and ${line.lines} lines more` }));
      return;
    }
    const allowed = line.verdict === "allow";
    const shown = text(line);
    const wanted = byId("events-text").value.trim().toLowerCase();
    if (this.paused || (allowed && byId("events-denied").checked)) return;
    if (wanted && !shown.toLowerCase().includes(wanted)) return;
    const word = line.verdict ? (allowed ? "allow" : "deny") : line.event;
    const bad = line.client || /fail/.test(line.event);
    const item = element("li", { className: allowed ? "allow" : bad ? "deny" : "" },
      element("time", { text: line.time.slice(11, 19), dateTime: line.time }), " ",
      element("b", { text: word }), ` ${shown}`);
    this.put(item);
  }

  put(item) {
    this.list.prepend(item);
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
  }

  async follow() {
    for (;;) {
      try {
        const query = HEARD.map((each) => `event=${each}`).join("&");
        await events(`api/events?${query}`, (kind, data) => this.heard(kind, data));
      } catch {
        // What refreshes the page tells why.
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}
