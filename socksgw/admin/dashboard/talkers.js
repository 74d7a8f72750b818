// Who moves most, of the sessions that are live.

import { ask } from "./api.js";
import { byId, octets, place, row } from "./page.js";

const SHOWN = 10;
const LOOKED_AT = 500;

function summed(sessions, nameOf) {
  const sums = new Map();
  for (const each of sessions) {
    const name = nameOf(each);
    const sum = sums.get(name) ?? { name, sessions: 0, octets: 0 };
    sum.sessions += 1;
    sum.octets += each.sent + each.received;
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.octets - a.octets).slice(0, SHOWN);
}

function show(id, label, sums) {
  byId(id).tBodies[0].replaceChildren(...sums.map((sum) => row([
    [label, sum.name],
    ["Sessions", String(sum.sessions), "number"],
    ["Octets", octets(sum.octets), "number"],
  ])));
}

export async function talkers() {
  const query = { sort: "octets", order: "desc", limit: LOOKED_AT };
  const { sessions } = await ask("GET", "api/sessions", { query });
  show("talkers-user", "User", summed(sessions, (each) => each.user));
  show("talkers-destination", "Destination",
    summed(sessions, (each) => place(each.asked, each.port)));
}
