// What asks the gateway: JSON, and events as they happen. The token stays in this tab.

const KEY = "socksgw-token";

export class Failed extends Error {
  constructor(status, text, problems = []) {
    super(text);
    this.status = status;
    this.problems = problems;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

function fields() {
  const known = token.get();
  return known ? { Authorization: `Bearer ${known}` } : {};
}

async function failure(response) {
  try {
    const body = await response.json();
    return new Failed(response.status, body.error, body.problems);
  } catch {
    return new Failed(response.status, `the gateway answers ${response.status}`);
  }
}

// Ask for a path, which is relative to this page: it may be served below another one.
export async function ask(method, path, { query = {}, body } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(given).toString();
  const options = { method, headers: fields(), cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(text ? `${path}?${text}` : path, options);
  } catch {
    throw new Failed(0, "the gateway cannot be reached");
  }
  // Some answers that are no success tell why in the same form.
  if (!response.ok) throw await failure(response);
  return response.json();
}

// Call heard(kind, data) for each event, until the signal says stop.
export async function events(path, heard, signal) {
  const response = await fetch(path, { headers: fields(), cache: "no-store", signal });
  if (!response.ok) throw await failure(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value;
    const whole = waiting.split("\n\n");
    waiting = whole.pop();
    for (const each of whole) tell(each, heard);
  }
}

function tell(text, heard) {
  let kind = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) kind = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length) heard(kind, JSON.parse(data.join("\n")));
}
