// The operator's page. It shows what the stream sends and orders through the API.
// It computes no prices and no states of sessions; only "offline", "reserved" and
// ages are derived here, from the stream's data and the time.
"use strict";

const $ = (id) => document.getElementById(id);
const rows = []; // one per connector: state, numbers and the tile that shows them
let clockSkew = 0; // Central's clock minus ours, in ms
let demo = false;
let chosen = null; // the row whose details are open
let view = "network"; // or a key of lists

const icons = {
  available: "○", preparing: "◔", charging: "⚡", suspended_ev: "❚❚", suspended_evse: "❚❚", finishing: "◕",
  reserved: "◆", unavailable: "⊘", faulted: "✖", offline: "⌁", unknown: "?", waiting: "…",
};
const words = { suspended_ev: "vehicle pauses", suspended_evse: "paused", unavailable: "out of service", waiting: "waiting for admission" };
const word = (s) => words[s] || s;

const now = () => Date.now() + clockSkew;
const time = (s) => (s ? new Date(s).toLocaleTimeString() : "–");
const moment = (s) => (s ? new Date(s).toLocaleString() : "–");

// soFar is energy and cost of a running session, in the session's currency.
const soFar = (s, v) => [kWh(v.e), v.c && s.currency ? money(v.c, s.currency) : ""].filter(Boolean);

function element(tag, props, ...children) {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
}

function text(e, s) {
  if (e.textContent !== s) e.textContent = s;
}

// ── the stream ────────────────────────────────────────────────────────────
let source = null;

function connect() {
  source = new EventSource("api/v1/stream");
  source.addEventListener("snapshot", (e) => {
    const m = JSON.parse(e.data);
    demo = m.demo;
    rows.length = 0;
    $("grid").replaceChildren();
    $("facts").replaceChildren();
    for (const r of m.rows) addRow(r);
    head(m);
    values(m);
    for (const f of m.facts) fact(f);
    text($("stream"), "live");
    $("empty").hidden = rows.length > 0;
  });
  source.addEventListener("delta", (e) => {
    const m = JSON.parse(e.data);
    head(m);
    for (const r of m.rows || []) setState(r);
    values(m);
    for (const f of m.facts || []) fact(f);
  });
  source.onerror = () => text($("stream"), "no answer from Central since " + new Date().toLocaleTimeString() + "; reconnecting");
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
  } else {
    connect();
    if (view !== "network") load(true);
  }
});

function head(m) {
  clockSkew = Date.parse(m.at) - Date.now();
  if (m.books) books(m.books);
  if (!m.parts) return;
  const list = $("parts");
  m.parts.forEach((p, i) => {
    let li = list.children[i];
    if (!li) {
      li = element("li", {}, element("span"), element("small"));
      if (demo && p.name !== "central") {
        const b = element("button", { type: "button" });
        b.addEventListener("click", () => cut(b, p.name));
        li.append(b);
      }
      list.append(li);
    }
    li.className = p.state;
    text(li.children[0], { mqtt: "MQTT", bridge: "Bridge", kafka: "Kafka", central: "Central" }[p.name] + " " + p.state);
    text(li.children[1], "since " + time(p.since) + (p.reason ? ": " + p.reason : ""));
    if (li.children[2]) {
      li.children[2].dataset.up = p.state === "up";
      text(li.children[2], p.state === "up" ? "cut" : "restore");
      li.children[2].setAttribute("aria-label", (p.state === "up" ? "cut " : "restore ") + p.name);
    }
  });
  const down = m.parts.filter((p) => p.state === "down");
  $("banner").hidden = down.length === 0;
  text($("banner"), down.map((p) => p.name + " is down since " + time(p.since)).join(", ") +
    (down.length ? ". Charging points continue on their own and keep their records; orders wait." : ""));
}

function books(b) {
  const one = (label, n, bad) => element("span", {}, label + " ", element("b", { className: bad && n ? "bad" : "", textContent: n.toLocaleString() }));
  $("books").replaceChildren(
    one("records announced", b.announced), one("applied", b.applied), one("un-acked", b.unacked),
    one("duplicates removed", b.duplicates), one("dead letters", b.dead_letters, true),
    one("lost", b.lost, true), one("twice", b.twice, true), one("alarms", b.alarms, true),
    one("Wh billed", b.billed_wh), one("Wh unaccounted", b.unaccounted_wh));
}

// ── the grid ──────────────────────────────────────────────────────────────
function addRow(r) {
  const parts = { id: element("span"), link: element("small", { className: "dim" }), state: element("span", { className: "state" }),
    driver: element("span"), power: element("span", { className: "num" }), energy: element("span", { className: "num" }), age: element("small", { className: "dim" }) };
  const button = element("button", { type: "button" },
    element("span", { className: "id" }, parts.id, parts.link), parts.state, parts.driver, parts.power, parts.energy, parts.age);
  const tile = element("li", { className: "tile" }, button);
  const row = { state: r, v: null, parts, tile, button };
  rows[r.i] = row;
  button.addEventListener("click", () => openDetail(row));
  $("grid").append(tile);
  draw(row);
}

function setState(r) {
  const row = rows[r.i];
  if (!row) return;
  const before = shown(row.state);
  row.state = r;
  if (shown(r) !== before) text($("live"), r.cp_id + " " + word(shown(r)));
  draw(row);
  if (row === chosen) drawDetail();
}

// values takes the numbers that changed. The register is sent when it changed
// otherwise than by the session's energy; t is how long before the frame.
function values(m) {
  const c = m.values || { i: [] };
  const got = (name, k) => c[name]?.[k] ?? null;
  c.i.forEach((i, k) => {
    if (!rows[i]) return;
    const v = rows[i].v || { base: 0, t: 0 };
    for (const name of ["w", "e", "c", "u"]) v[name] = got(name, k) ?? v[name];
    if (got("r", k) !== null) v.base = got("r", k) - v.e;
    v.r = v.base + v.e;
    if (got("t", k) !== null) v.t = Date.parse(m.at) - got("t", k);
    rows[i].v = v;
    draw(rows[i]);
  });
  totals();
  if (chosen) drawDetail();
}

// shown is the state with what overlays it: admission and the link.
function shown(s) {
  if (!s.admitted) return "waiting";
  if (s.link === "offline") return "offline";
  if (s.link === "unknown") return "unknown";
  if (s.status === "reserved" && s.reserved_until && Date.parse(s.reserved_until) <= now()) return "available";
  return s.status;
}

const inSession = (s) => Boolean(s.session_id);

function draw(row) {
  const s = row.state, v = row.v, p = row.parts, is = shown(s);
  row.tile.className = "tile " + is;
  text(p.id, s.cp_id + (s.connector > 1 ? " · " + s.connector : ""));
  text(p.link, v?.u ? v.u + " un-acked" : "");
  let extra = "";
  if (is === "offline" || is === "unknown") extra = " since " + time(s.link_since) + " (" + word(s.status) + ")";
  if (is === "reserved") extra = " " + age(Date.parse(s.reserved_until) - now());
  if (s.waits_for) extra += ", waits for " + s.waits_for;
  text(p.state, icons[is] + " " + word(is) + extra + (s.faults ? ": " + s.faults.join(", ") : ""));
  text(p.driver, s.username || "");
  const old = !v || !v.t || now() - v.t > 3000;
  p.power.className = p.energy.className = "num" + (old ? " old" : "");
  text(p.power, inSession(s) && v ? kW(v.w) : "");
  text(p.energy, inSession(s) && v ? soFar(s, v).join(" · ") : "");
  text(p.age, v && v.t ? "values " + age(now() - v.t) + " old" : "no values yet");
  row.button.setAttribute("aria-label", s.cp_id + " connector " + s.connector + ", " + word(is) + (inSession(s) && v ? ", " + kW(v.w) : ""));
}

function totals() {
  const count = {};
  let power = 0;
  for (const r of rows) {
    const is = shown(r.state);
    count[is] = (count[is] || 0) + 1;
    if (r.v && inSession(r.state)) power += r.v.w;
  }
  text($("totals"), Object.entries(count).sort().map(([k, n]) => n + " " + word(k)).join(" · ") + " · " + kW(power));
}

setInterval(() => { // ages and countdowns go on without news
  rows.forEach(draw);
  if (chosen) drawDetail();
}, 1000);

// ── orders ────────────────────────────────────────────────────────────────
async function order(path, body) {
  const r = await fetch("api/v1" + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body || {}) });
  const m = await r.json().catch(() => ({}));
  if (!r.ok) {
    const why = (m.errors || []).map((e) => e.location + ": " + e.message).join("; ");
    throw new Error(m.detail ? m.detail + (why ? " (" + why + ")" : "") : "refused: " + r.status);
  }
  return m;
}

// act sends an order and shows its result by show(text).
async function act(button, show, path, body) {
  button.disabled = true;
  try {
    const a = await order(path, body);
    show(a.message || "ordered" + (a.cp_id ? " at " + a.cp_id : "") + (a.count ? " at " + a.count + " charging points" : ""));
  } catch (err) {
    show(String(err.message || err));
  } finally {
    button.disabled = false;
  }
}

const showAnswer = (s) => fact({ at: new Date().toISOString(), kind: "answer", text: s });

async function cut(button, part) {
  await act(button, () => {}, "/demo/parts/" + part, { up: button.dataset.up !== "true" });
}

$("any").addEventListener("submit", (e) => {
  e.preventDefault();
  act(e.submitter, showAnswer, "/reservations", { username: e.target.username.value });
});
$("stop-all").addEventListener("click", (e) => {
  if (confirm("Take every charging point out of service? Running sessions end.")) act(e.target, showAnswer, "/availability", { all: true, available: false });
});
$("resume-all").addEventListener("click", (e) => act(e.target, showAnswer, "/availability", { all: true, available: true }));

// ── detail of one connector ───────────────────────────────────────────────
function openDetail(row) {
  chosen = row;
  text($("detail-answer"), "");
  $("detail-commands").replaceChildren();
  drawDetail();
  $("detail").showModal();
  loadCommands();
}
$("detail").addEventListener("close", () => { chosen = null; });
$("detail-form").addEventListener("submit", (e) => e.preventDefault());

function drawDetail() {
  const s = chosen.state, v = chosen.v, is = shown(s);
  text($("detail-title"), s.cp_id + " · connector " + s.connector);
  const list = [
    ["State", word(is) + (is !== s.status ? " (reported: " + word(s.status) + ")" : "")], ["Name", [s.name, s.place].filter(Boolean).join(", ") || "–"],
    ["Link", s.link + " since " + moment(s.link_since)], ["Driver", s.username || "–"],
    ["Power", v ? kW(v.w) + " of " + kW(s.rated_w) : "–"], ["Session", v && inSession(s) ? soFar(s, v).join(", ") + " so far" : "–"],
    ["Register", v ? kWh(v.r) : "–"], ["Values", v && v.t ? age(now() - v.t) + " old" : "none yet"],
    ["Reservation", s.reservation_id ? "until " + time(s.reserved_until) : "–"], ["Un-acked records", String(v?.u || 0)],
    ["Waits for", s.waits_for ? "the charging point: " + s.waits_for + ", since " + time(s.waits_since) : "nothing"],
    ["In service", s.available ? "yes" : "no, stopped by an operator"], ["Faults", (s.faults || []).join(", ") || "none"], ["Alarm", s.alarm || "none"],
  ];
  const dl = $("detail-values");
  list.forEach(([k, val], i) => {
    if (!dl.children[2 * i]) dl.append(element("dt"), element("dd"));
    text(dl.children[2 * i], k);
    text(dl.children[2 * i + 1], val);
  });
  drawButtons(s);
}

function drawButtons(s) {
  const driver = () => $("detail-form").username.value;
  const where = { cp_id: s.cp_id, connector: s.connector };
  const sim = (action) => ["/cps/" + s.cp_id + "/connectors/" + s.connector + "/simulate", () => ({ action })];
  const actions = []; // label, path, body
  if (!s.admitted) actions.push(["Admit", "/cps/" + s.cp_id + "/admit", () => ({})]);
  if (s.admitted && !s.session_id && !s.reservation_id) actions.push(["Reserve", "/reservations", () => ({ ...where, username: driver() })]);
  if (s.admitted && !s.session_id) actions.push(["Start", "/sessions", () => ({ ...where, username: driver() })]);
  if (s.reservation_id && !s.session_id) actions.push(["Cancel reservation", "/reservations/" + s.reservation_id + "/cancel", () => ({})]);
  if (s.session_id) actions.push(["Stop session", "/sessions/" + s.session_id + "/stop", () => ({})]);
  if (s.session_id && s.link === "offline") actions.push(["Settle session", "/sessions/" + s.session_id + "/settle", () => ({})]);
  actions.push([s.available ? "Out of service" : "Back in service", "/availability", () => ({ ...where, available: !s.available })]);
  if (s.simulated) actions.push(["Plug in", ...sim("plug")], ["Unplug", ...sim("unplug")], ["Fault", ...sim("fault")], ["Repair", ...sim("repair")]);
  const key = actions.map((w) => w[0] + w[1]).join("|");
  const buttons = $("detail-buttons");
  if (buttons.dataset.key === key) return; // unchanged: a button that has the focus keeps it
  buttons.dataset.key = key;
  buttons.replaceChildren(...actions.map(([label, path, body]) => {
    const b = element("button", { type: "button", textContent: label });
    b.addEventListener("click", async () => {
      await act(b, (m) => text($("detail-answer"), m), path, body());
      loadCommands();
    });
    return b;
  }));
}

async function loadCommands() {
  if (!chosen) return;
  const row = chosen;
  const r = await fetch("api/v1/commands?limit=8&cp_id=" + row.state.cp_id).catch(() => null);
  if (!r || !r.ok || chosen !== row) return;
  const m = await r.json();
  $("detail-commands").replaceChildren(...m.items.map((c) => element("li", { textContent: c.type + ": " + life(c) })));
  if (m.items.some((c) => time(c.ended_at) === "–")) setTimeout(loadCommands, 1000);
}

function life(c) {
  const steps = [["written", c.written_at], ["sent", c.sent_at], ["accepted", c.accepted_at]];
  if (time(c.ended_at) !== "–") steps.push([c.state, c.ended_at]);
  return steps.filter((s) => time(s[1]) !== "–").map((s) => s[0] + " " + time(s[1])).join(" → ") + (c.reason ? " (" + c.reason + ")" : "");
}

// ── what happened ─────────────────────────────────────────────────────────
function fact(f) {
  $("facts").prepend(element("li", { className: f.kind }, element("small", { className: "dim", textContent: time(f.at) + " " }), f.text));
  while ($("facts").children.length > 60) $("facts").lastChild.remove();
  if (view !== "network") load(true);
}

// ── lists ─────────────────────────────────────────────────────────────────
const lists = {
  sessions: ["Sessions", [["Session", (s) => s.session_id], ["Where", (s) => s.cp_id + " · " + s.connector], ["Driver", (s) => s.username || "–"], ["State", (s) => s.state],
    ["Ended by", (s) => s.reason || "–"], ["Energy", (s) => kWh(s.register_wh - s.register_start_wh), "n"], ["Begun", (s) => moment(s.authorized_at)], ["Ended", (s) => moment(s.stopped_at)]]],
  tickets: ["Tickets", [["Ticket", (t) => t.ticket_id], ["Where", (t) => t.cp_id + " · " + t.connector], ["Driver", (t) => t.username || "–"], ["Energy", (t) => kWh(t.energy_wh), "n"],
    ["Cost", (t) => money(t.cost, t.currency), "n"], ["Duration", (t) => duration(t.duration_sec), "n"], ["Ended by", (t) => t.reason], ["Tariff", (t) => t.tariff], ["At", (t) => moment(t.stopped_at)]]],
  reservations: ["Reservations", [["Reservation", (r) => r.reservation_id], ["Where", (r) => r.cp_id + " · " + r.connector], ["Driver", (r) => r.username], ["State", (r) => r.state],
    ["Reason", (r) => r.reason || "–"], ["Made", (r) => moment(r.made_at)], ["Expires", (r) => moment(r.expires_at)]]],
  commands: ["Commands", [["Command", (c) => c.type], ["Where", (c) => c.cp_id + " · " + c.connector], ["State", (c) => c.state], ["Life", life], ["At", (c) => moment(c.written_at)]]],
  gaps: ["Gaps: records that are missing for good", [["Where", (h) => h.cp_id], ["Journal", (h) => h.journal || "–"], ["Records", (h) => h.first + " … " + (h.last || "?")], ["Cause", (h) => h.cause], ["What", (h) => h.detail],
    ["Unaccounted", (h) => kWh(h.unaccounted_wh), "n"], ["Filled", (h) => (h.filled ? "yes" : "no")], ["At", (h) => moment(h.at)]]],
  alarms: ["Alarms", [["Where", (a) => a.cp_id || "–"], ["Kind", (a) => a.kind], ["What", (a) => a.text], ["At", (a) => moment(a.at)]]],
};
let next = "";
let loading = 0;

async function load(fresh) {
  const mine = ++loading;
  const name = view;
  const [title, columns] = lists[name];
  const r = await fetch("api/v1/" + name + "?limit=100" + (fresh ? "" : "&after=" + encodeURIComponent(next))).catch(() => null);
  if (mine !== loading || name !== view) return;
  if (!r || !r.ok) {
    text($("caption"), title + ": no answer from Central");
    return;
  }
  const m = await r.json();
  text($("caption"), title + (fresh && m.items.length === 0 ? ": none yet" : ""));
  $("thead").replaceChildren(element("tr", {}, ...columns.map((c) => element("th", { scope: "col", className: c[2] || "", textContent: c[0] }))));
  const lines = m.items.map((item) => element("tr", {}, ...columns.map((c) => element("td", { className: c[2] || "", textContent: c[1](item) }))));
  if (fresh) $("tbody").replaceChildren(...lines);
  else $("tbody").append(...lines);
  next = m.next || "";
  $("more").hidden = !next;
}
$("more").addEventListener("click", () => load(false));

for (const b of document.querySelectorAll("nav button")) {
  b.addEventListener("click", () => {
    view = b.dataset.view;
    for (const other of document.querySelectorAll("nav button")) other.toggleAttribute("aria-current", other === b);
    b.setAttribute("aria-current", "page");
    $("network").hidden = view !== "network";
    $("list").hidden = view === "network";
    if (view !== "network") load(true);
  });
}

if (!document.hidden) connect();
