// Flows of three durable steps on a Restate server of the benchmark's own, over its HTTP ingress.
// Prints one line of JSON for each figure. `npm install` in this folder first.
//
//   node restate.mjs [--flows N] [--callers N] [--rounds N] [--folder DIR]

import { spawn } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

// The SDK wants it, and Node.js has it from version 22 on.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

// It logs each call otherwise.
process.env.RESTATE_LOGGING ??= "ERROR";
const restate = await import("@restatedev/restate-sdk");

const { values } = parseArgs({
  options: {
    flows: { type: "string", default: "2000" },
    callers: { type: "string", default: "64" },
    rounds: { type: "string", default: "5" },
    folder: { type: "string", default: tmpdir() },
  },
});
const [flows, callers, rounds] = [values.flows, values.callers, values.rounds].map(Number);
const ALONE = 100;
const READY_MS = 60_000;

const flow = restate.service({
  name: "flow",
  handlers: {
    three: async (ctx) => {
      await ctx.run("a", () => 1);
      await ctx.run("b", () => 2);
      return await ctx.run("c", () => 3);
    },
  },
});

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1_024 });

function post(port, where, body) {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const options = { agent, host: "127.0.0.1", port, path: where, method: "POST", headers };
    const request = http.request(options, (answer) => {
      let said = "";
      answer.on("data", (piece) => (said += piece));
      answer.on("end", () =>
        answer.statusCode < 300 ? resolve(said) : reject(new Error(`${answer.statusCode}: ${said}`)),
      );
    });
    request.on("error", reject);
    request.end(text);
  });
}

async function ready(port, deployment) {
  const until = Date.now() + READY_MS;
  for (;;) {
    try {
      return await post(port, "/deployments", { uri: deployment, force: true });
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

const median = (samples) => [...samples].sort((a, b) => a - b)[Math.floor(samples.length / 2)];
const three = (ingress) => post(ingress, "/flow/three", {});

const folder = await mkdtemp(path.join(values.folder, "peer-restate-"));
const [ingress, admin, node, endpoint] = [
  await freePort(),
  await freePort(),
  await freePort(),
  await freePort(),
];
await restate.serve({ services: [flow], port: endpoint });
const log = await open(path.join(folder, "log"), "w");
// The package's launcher starts another process; the program itself is what ends with us.
const require = createRequire(import.meta.url);
const kind = `${process.platform}-${process.arch}`;
const program = require.resolve(`@restatedev/restate-server-${kind}/bin/restate-server`);
const server = spawn(program, ["--base-dir", folder], {
  stdio: ["ignore", log.fd, log.fd],
  env: {
    ...process.env,
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
    RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}`,
  },
});
try {
  await ready(admin, `http://127.0.0.1:${endpoint}`);
  for (let i = 0; i < ALONE; i++) await three(ingress);
  for (let round = 0; round < rounds; round++) {
    const times = [];
    for (let i = 0; i < ALONE; i++) {
      const begun = performance.now();
      await three(ingress);
      times.push(performance.now() - begun);
    }
    console.log(JSON.stringify({ name: "restate: three steps, one at a time, p50", unit: "ms", value: median(times) }));
    let left = flows;
    const begun = performance.now();
    const caller = async () => {
      while (left-- > 0) await three(ingress);
    };
    await Promise.all(Array.from({ length: callers }, caller));
    const rate = (flows * 1_000) / (performance.now() - begun);
    console.log(JSON.stringify({ name: "restate: three steps, many callers", unit: "flows/s", value: rate }));
  }
} finally {
  server.kill("SIGTERM");
  await new Promise((resolve) => server.once("exit", resolve));
  await rm(folder, { recursive: true, force: true });
  process.exit();
}
