// What the rules say of a request now, and why.

import { ask } from "./api.js";
import { act, byId, element } from "./page.js";

function told(found) {
  if (found.verdict === null) {
    const text = `It depends on ${found.missing}, which is not known here.`;
    return [element("p", { text: found.why ? `${text} ${found.why}` : text })];
  }
  const parts = [
    element("p", { className: found.verdict },
      element("b", { text: found.verdict }),
      ` by rule "${found.rule}": ${found.why}`),
  ];
  const facts = [
    ["groups", found.groups], ["addresses", found.addresses], ["via", found.via],
    ["leaves by", found.leaves_by], ["limit", found.limit], ["depends on", found.depends_on],
  ].filter(([, value]) => value && value.length);
  if (facts.length) {
    const list = element("dl");
    for (const [name, value] of facts) {
      const text = Array.isArray(value) ? value.join(", ") : value;
      list.append(element("dt", { text: name }), element("dd", { text }));
    }
    parts.push(list);
  }
  for (const { address, tried } of found.rules) {
    const steps = element("ol");
    for (const { rule, unmet } of tried) {
      steps.append(element("li", { text: unmet ? `${rule}: not its ${unmet}` : `${rule}: this one` }));
    }
    parts.push(element("p", { text: address ? `Rules tried for ${address}:` : "Rules tried:" }), steps);
  }
  return parts;
}

export function explaining() {
  const form = byId("explain-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    const query = Object.fromEntries(
      Object.entries(given).map(([name, text]) => [name, text.trim()]));
    if (byId("explain-dns").checked) query.dns = "true";
    const found = await act(() => ask("GET", "api/explain", { query }), "");
    byId("explained").replaceChildren(...(found ? told(found) : []));
  });
}
