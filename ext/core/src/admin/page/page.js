// The page of the admin listener: asks the server each second while the page can be seen, and shows the answers. What comes from the
// server is put in as text and never as markup.
"use strict";

const PAUSE = 1000; // between two looks, in milliseconds
const KEPT = 60; // looks in a chart
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const known = (value) => (value === undefined || value === null ? "-" : String(value));
const digits = (value, places) => value.toLocaleString("en", { maximumFractionDigits: places });
const seconds = (value) => (isNumber(value) ? `${digits(value, 1)} s` : "-");
const milliseconds = (value) => (value === null ? "-" : `${digits(value * 1000, value < 0.01 ? 1 : 0)} ms`);
const perSecond = (value) => (value === null ? "-" : `${digits(value, 0)}/s`);
const mebibytes = (value) => (isNumber(value) ? `${digits(value / 1048576, 0)} MiB` : "-");

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// Cumulative counts by upper bound, of all series of a histogram together; bytes of memory by worker; and how many requests are over.
function readMetrics(text) {
  const histograms = new Map();
  const memory = new Map();
  let requests = 0;
  for (const line of text.split("\n")) {
    const bucket = /^(tidegate_\w+)_bucket\{(.*)\} (\d+)/.exec(line);
    const bound = bucket && /(?:^|,)le="([^"]+)"/.exec(bucket[2]);
    if (bound) {
      const counts = histograms.get(bucket[1]) || new Map();
      const upper = bound[1] === "+Inf" ? Infinity : Number(bound[1]);
      counts.set(upper, (counts.get(upper) || 0) + Number(bucket[3]));
      histograms.set(bucket[1], counts);
    }
    const resident = /^tidegate_resident_memory_bytes(?:\{(.*)\})? (\S+)/.exec(line);
    if (resident) {
      const worker = /worker="(\d+)"/.exec(resident[1] || "");
      memory.set(worker ? Number(worker[1]) : null, Number(resident[2]));
    }
    const over = /^tidegate_requests_total(?:\{.*\})? (\S+)/.exec(line);
    if (over) requests += Number(over[1]);
  }
  return { histograms, memory, requests };
}

// The value below which that share of what came between two looks lies, in seconds; null where nothing came.
function quantile(share, now, before, name) {
  const after = now.histograms.get(name);
  const earlier = before && before.histograms.get(name);
  if (!after || !earlier) return null;
  const counts = [...after].sort((a, b) => a[0] - b[0]).map(([bound, count]) => [bound, count - (earlier.get(bound) || 0)]);
  const total = counts.length ? counts[counts.length - 1][1] : 0;
  if (total <= 0) return null;
  const rank = share * total;
  const index = counts.findIndex(([, count]) => count >= rank);
  const [upper, count] = counts[index];
  const [lower, below] = index === 0 ? [0, 0] : counts[index - 1];
  if (upper === Infinity) return lower;
  return count === below ? upper : lower + ((upper - lower) * (rank - below)) / (count - below);
}

// One worker for a server that is a single process.
function workersOf(look) {
  const { stats, memory } = look;
  const rows = Array.isArray(stats.worker_status) ? stats.worker_status : [{ last_status: stats, single: true }];
  return rows.map((row) => {
    const last = row.last_status || {};
    const ours = { ...row.tidegate, ...last.tidegate };
    return {
      worker: row.index,
      process: row.pid,
      state: row.state || ours.state || ours.phase || (row.booted === false ? "booting" : "serving"),
      phase: row.phase,
      busy: `${known(last.busy_threads)}/${known(last.max_threads)}`,
      queue: last.backlog,
      "in flight": ours.in_flight,
      connections: ours.connections,
      requests: last.requests_count,
      memory: mebibytes(memory.get(row.single ? null : row.index) || row.rss || ours.rss),
    };
  });
}

function requestRate(now, before) {
  return before && Math.max(0, ((now.requests - before.requests) * 1000) / (now.at - before.at));
}

const CHARTS = [
  ["Requests", perSecond, requestRate],
  ["In flight", known, (now) => now.status.in_flight],
  ["Queue wait, p99", milliseconds, (now, before) => quantile(0.99, now, before, "tidegate_queue_wait_seconds")],
  ["GVL wait, p99", milliseconds, (now, before) => quantile(0.99, now, before, "tidegate_gvl_wait_seconds")],
].map(([title, words, value]) => ({ title, words, value, past: [] }));

function makeCharts() {
  for (const chart of CHARTS) {
    const figure = element("figure");
    chart.output = element("output", "-");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 20`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    chart.line = document.createElementNS(SVG, "polyline");
    svg.append(chart.line);
    figure.append(element("figcaption", chart.title), chart.output, svg);
    byId("charts").append(figure);
  }
}

function drawCharts(now, before) {
  for (const chart of CHARTS) {
    const value = chart.value(now, before);
    const shown = isNumber(value) ? value : null;
    chart.past = [...chart.past, shown].slice(-KEPT);
    chart.output.textContent = chart.words(shown);
    const highest = Math.max(...chart.past.map((one) => one || 0)) || 1;
    const start = KEPT - chart.past.length;
    const points = chart.past.map((one, index) => `${start + index},${(19 - (18 * (one || 0)) / highest).toFixed(2)}`);
    chart.line.setAttribute("points", points.join(" "));
  }
}

function fill(table, headings, rows) {
  const [head, body] = [table.tHead, table.tBodies[0]];
  const line = element("tr");
  line.append(...headings.map(([title, kind]) => element("th", title, kind)));
  head.replaceChildren(line);
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = element("tr");
      row.append(...cells.map((cell, index) => element("td", known(cell), headings[index][1])));
      return row;
    }),
  );
}

function drawWorkers(look) {
  const workers = workersOf(look);
  const names = Object.keys(workers[0] || {}).filter((name) => workers.some((worker) => worker[name] !== undefined));
  const headings = names.map((name) => [name, name === "state" ? "" : "number"]);
  fill(byId("workers"), headings, workers.map((worker) => names.map((name) => worker[name])));
}

function drawPhase({ status, stats }) {
  byId("version").textContent = known(stats.versions && stats.versions.tidegate);
  const phase = byId("phase");
  phase.textContent = known(status.phase);
  phase.classList.toggle("stopping", !["booting", "ready"].includes(status.phase));
  byId("left").textContent = isNumber(status.seconds_left) ? `${seconds(status.seconds_left)} left` : "";
  const plan = status.plan || {};
  const limit = isNumber(plan.budget) ? ` The platform leaves ${seconds(plan.budget)} for both.` : "";
  const quiet = plan.drain_until_quiet ? " (less where all clients have fallen silent)" : "";
  byId("plan").textContent =
    `The server goes on serving everything for ${seconds(plan.drain_delay)}${quiet}, ` +
    `then has up to ${seconds(plan.shutdown_timeout)} to finish what is in flight.${limit}`;
  document.title = `${known(status.phase)} - Tidegate`;
}

let settings = [];

function drawSettings() {
  const all = byId("all").checked;
  const shown = settings.filter((setting) => all || setting.origin !== null);
  const headings = [["setting", "name"], ["value", "value"], ["from", "origin"], ["meaning", "text"]];
  fill(byId("settings"), headings, shown.map(({ name, value, origin, text }) => [name, value, origin === null ? "default" : origin, text]));
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path} is answered with ${answer.status}: ${(await answer.text()).trim()}`);
  return answer;
}

let last = null;
let silentSince = null;

function notice(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text;
}

async function look() {
  const [stats, status, metrics] = await Promise.all([
    ask("/stats").then((answer) => answer.json()),
    ask("/status").then((answer) => answer.json()),
    ask("/metrics").then((answer) => answer.text()),
  ]);
  const now = { at: performance.now(), stats, status, ...readMetrics(metrics) };
  // After a restart the counters begin anew.
  const before = last && last.stats.started_at === stats.started_at ? last : null;
  drawPhase(now);
  drawCharts(now, before);
  drawWorkers(now);
  if (!before) {
    settings = await ask("/settings").then((answer) => answer.json());
    drawSettings();
  }
  last = now;
}

// One look after another, and none while the page is hidden: the next begins when it is shown again.
let running = false;

async function run() {
  if (running) return;
  running = true;
  while (!document.hidden) {
    try {
      await look();
      silentSince = null;
      notice("");
    } catch (error) {
      silentSince = silentSince || new Date();
      const gone = error instanceof TypeError || error.name === "TimeoutError";
      const reason = gone ? "the server does not answer" : String(error.message || error);
      notice(`Since ${silentSince.toLocaleTimeString()}: ${reason}. What is below is from before; this page goes on asking.`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  running = false;
}

makeCharts();
byId("all").addEventListener("change", drawSettings);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) run();
});
run();
