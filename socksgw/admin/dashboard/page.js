// Parts of the page, made without markup: whatever clients have sent stays text.

export const byId = (id) => document.getElementById(id);

export function element(name, { text, ...properties } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

export function say(text, bad = false) {
  const said = byId("said");
  said.textContent = text;
  said.classList.toggle("bad", bad);
}

// Run what an act of the user begins, and tell how it ended.
export async function act(work, done) {
  try {
    const result = await work();
    say(typeof done === "function" ? done(result) : done);
    return result;
  } catch (error) {
    say([error.message, ...(error.problems ?? [])].join(" · "), true);
    return undefined;
  }
}

export function sure(question) {
  const dialog = byId("sure");
  byId("sure-title").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    const over = () => resolve(dialog.returnValue === "yes");
    dialog.addEventListener("close", over, { once: true });
  });
}

export function octets(count) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${at && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

export function age(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

export function place(host, port) {
  if (!port) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

// A table's row; on narrow screens each cell shows its label.
export function row(cells) {
  return element("tr", {}, ...cells.map(([label, content, kind = ""]) => {
    const cell = element("td", { className: kind });
    cell.dataset.label = label;
    cell.append(content);
    return cell;
  }));
}

export function button(text, label, pressed, kind = "") {
  const made = element("button", { text, type: "button", className: kind });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", pressed);
  return made;
}
