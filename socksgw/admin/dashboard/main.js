// The page: signs in, and keeps all that it shows new.

import { Failed, ask, token } from "./api.js";
import { Chart, Rate } from "./charts.js";
import { Decisions } from "./decisions.js";
import { explaining } from "./explain.js";
import { Grants } from "./grants.js";
import { act, byId, octets, say, sure } from "./page.js";
import { Sessions } from "./sessions.js";
import { talkers } from "./talkers.js";

const EVERY = 2000;
const whole = (value) => String(Math.round(value));
const each = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;

const charts = byId("charts");
const lines = {
  live: new Chart(charts, "live sessions", whole),
  begun: new Chart(charts, "new sessions", each),
  denied: new Chart(charts, "denied or refused", each, true),
  moved: new Chart(charts, "moved", (value) => `${octets(value)}/s`),
};
const rates = { begun: new Rate(), denied: new Rate(), moved: new Rate() };
const decisions = new Decisions();
const grants = new Grants();
let roles = [];
const may = (role) => roles.includes(role) || roles.includes("operate");
const sessions = new Sessions(may);
let following = false;

function state(text, bad) {
  const said = byId("state");
  if (said.textContent !== text) said.textContent = text;
  said.classList.toggle("bad", bad);
}

// What does not stop the gateway, and should not last.
function troubles(status) {
  const lost = status.sinks.filter((each) => each.state === "failing");
  const down = status.upstreams.filter((each) => each.state === "ejected");
  return [
    ...lost.map((each) => `sink ${each.name}: ${each.why}`),
    ...down.map((each) => `upstream ${each.name} is ejected`),
  ];
}

function showStatus(status) {
  roles = status.caller.roles;
  for (const part of document.querySelectorAll("[data-role]")) {
    part.hidden = !may(part.dataset.role);
  }
  byId("gateway").textContent = status.gateway;
  document.title = `${status.gateway} · socksgw`;
  const ready = status.ready ? "ready" : status.reasons.join(" · ");
  const wrong = troubles(status);
  const by = status.caller.name;
  const told = [ready, ...wrong, `version ${status.version}`, by];
  state(told.filter(Boolean).join(" · "), !status.ready || wrong.length > 0);
  const seconds = performance.now() / 1000;
  const { sessions: count, octets: moved } = status;
  lines.live.add(count.live);
  lines.begun.add(rates.begun.of(count.begun, seconds));
  lines.denied.add(rates.denied.of(count.denied + count.refused, seconds));
  lines.moved.add(rates.moved.of(moved.sent + moved.received, seconds));
  byId("drain").textContent = status.draining ? "Accept again" : "Drain";
  byId("drain").dataset.undo = status.draining ? "yes" : "";
}

async function refresh() {
  const status = await ask("GET", "api/status");
  showStatus(status);
  byId("shown").hidden = false;
  byId("signin").hidden = true;
  byId("signout").hidden = !token.get();
  await sessions.refresh();
  await talkers();
  await grants.refresh(status.caller.name);
  if (!following) {
    following = true;
    decisions.follow();
  }
}

function signIn(error) {
  byId("shown").hidden = true;
  byId("signin").hidden = false;
  byId("signout").hidden = true;
  state("not signed in", false);
  if (token.get()) say(error.message, true);
  token.clear();
  byId("token").focus();
}

async function again() {
  let signedIn = true;
  try {
    if (!document.hidden || !following) await refresh();
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    signedIn = error.status !== 401;
    if (signedIn) state(error.message, true);
    else signIn(error);
  }
  if (signedIn) setTimeout(again, EVERY);
}

byId("signin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  say("");
  again();
});
byId("signout").addEventListener("click", () => {
  token.clear();
  location.reload();
});
byId("reload").addEventListener("click", () => act(
  () => ask("POST", "api/reload"),
  (answer) => [`reloaded, ${answer.ended} sessions ended`, ...answer.warnings].join(" · "),
));
byId("drain").addEventListener("click", async () => {
  const undo = byId("drain").dataset.undo === "yes";
  const question = "Accept no more clients, and let the sessions end?";
  if (!undo && !(await sure(question))) return;
  await act(() => ask(undo ? "DELETE" : "POST", "api/drain"),
    undo ? "clients are accepted again" : "draining");
});
explaining();
again();
