// Reach everything by Node: libuv, c-ares, undici.
const dgram = require("dgram");
const dns = require("dns");
const http = require("http");
const net = require("net");

const once = (thing, name) => new Promise(done => thing.once(name, done));
// What is not decided within 250 ms fails as refused, whatever the reason: ask again.
const code = async (port, host) => {
  for (let i = 0; ; i++) {
    const began = performance.now();
    const found = (await once(net.connect(port, host), "error")).code;
    if (found !== "ECONNREFUSED" || performance.now() - began < 200 || i === 50) return found;
  }
};
const fetched = url => fetch(url).then(answer => answer.text());

async function datagram(kind, send) {
  const socket = dgram.createSocket(kind);
  const came = new Promise(done =>
    socket.on("message", (text, from) => done(`${text} ${from.address} ${from.port}`)));
  send(socket);
  const found = await came;
  socket.close();
  return found;
}

// What would go past the gateway.
async function past() {
  console.log("direct", await code(8081, "10.9.9.1"));
  const resolver = new dns.promises.Resolver();
  resolver.setServers(["10.9.9.1"]);
  console.log("dns", ...await resolver.resolve4("page.example"));
  const socket = dgram.createSocket("udp4");
  let came = "nothing";
  socket.on("message", text => { came = String(text); });
  socket.send("hello", 5353, "10.9.9.1");
  await new Promise(done => setTimeout(done, 500));
  socket.close();
  console.log("datagram", came);
}

(async () => {
  if (process.argv[2] === "past") return past();
  const pages = await Promise.all(
    [...Array(40)].map(() => fetched("http://page.example:8080/")));
  console.log("page", ...new Set(pages));
  const answer = await once(http.get("http://[fd00:5::1]:8080/"), "response");
  console.log("http", answer.statusCode);
  answer.resume();
  const greeting = net.connect(2525, "page.example");
  console.log("greeting", String(await once(greeting, "data")), greeting.remoteAddress);
  console.log("refused", await code(81, "10.5.5.1"));
  console.log("denied", await code(8080, "denied.example"));
  console.log("unknown", await code(8080, "unknown.example"));
  console.log("resolved", ...await dns.promises.resolve4("page.example"));
  console.log("free", await datagram("udp4", each => each.send("hello", 7007, "page.example")));
  console.log("connected", await datagram("udp6", each =>
    each.connect(7007, "fd00:5::1", () => each.send("hello"))));
  // The name comes only when the loop has fetched another page while it waits.
  const timer = setInterval(() => fetched("http://10.5.5.1:8080/meanwhile"), 100);
  console.log("slow", await fetched("http://slow-node.example:8080/"));
  clearInterval(timer);
  console.log("slow refused", await code(81, "slow-closed-node.example"));
})();
