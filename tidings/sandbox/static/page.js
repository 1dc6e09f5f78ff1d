// The sandbox's page: shows what arrived as its recipient would see it. Text goes in by textContent only; an e-mail's HTML
// lives in a frame that may run nothing.

const KEEP = 1000; // messages held by the page; the server keeps more
const byId = (id) => document.getElementById(id);
const list = byId("list");
const view = byId("view");
const state = { messages: new Map(), channel: "", words: "", chosen: 0, shown: "" };
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const shortTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const GOOD = new Set(["delivered", "open", "opened", "click"]);
const BAD = new Set(["bounce", "undelivered", "dropped"]);

function make(tag, properties = {}, ...children) {
  const { dataset, attributes, ...plain } = properties;
  const element = Object.assign(document.createElement(tag), plain);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const lastEvent = (message) => message.events.at(-1)?.event ?? "taken";

function matches(message) {
  if (state.channel && message.channel !== state.channel) return false;
  if (!state.words) return true;
  const text = [message.to, message.from, message.title, message.text, message.notification_id, message.provider].join("\n");
  return text.toLowerCase().includes(state.words);
}

const visible = () => [...state.messages.values()].filter(matches).sort((a, b) => b.seq - a.seq);

function chips(message) {
  const event = lastEvent(message);
  const tone = BAD.has(event) ? "bad" : GOOD.has(event) ? "good" : "";
  const all = [make("span", { className: `chip ${message.channel}` }, message.provider), make("span", { className: `chip ${tone}` }, event)];
  if (message.fault) all.push(make("span", { className: "chip bad" }, `fault: ${message.fault}`));
  return make("span", { className: "chips" }, ...all);
}

function row(message) {
  const about = make("span", { className: "about" });
  if (message.title) about.append(make("b", {}, message.title), " ");
  about.append(message.text.replace(/\s+/g, " ").slice(0, 160));
  const at = new Date(message.at_ms);
  return make(
    "li",
    { className: "row", id: `m${message.seq}`, dataset: { seq: message.seq, told: message.events.length }, attributes: { role: "option" } },
    make("span", { className: "to" }, message.to),
    make("time", { dateTime: at.toISOString() }, time.format(at)),
    about,
    chips(message),
  );
}

// Rows that are already right stay where they are, so that a flood of messages does not rebuild the list.
function drawList() {
  const wanted = visible();
  const rows = new Map([...list.children].map((element) => [Number(element.dataset.seq), element]));
  let at = 0;
  for (const message of wanted) {
    let element = rows.get(message.seq);
    if (!element || Number(element.dataset.told) !== message.events.length) {
      const fresh = row(message);
      if (element) element.replaceWith(fresh);
      else fresh.classList.add("fresh");
      element = fresh;
    }
    rows.delete(message.seq);
    element.setAttribute("aria-selected", String(message.seq === state.chosen));
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
    at += 1;
  }
  for (const element of rows.values()) element.remove();
  byId("none").firstChild.textContent = state.messages.size ? "Nothing matches." : "Nothing has arrived yet.";
  if (rows.has(state.chosen)) list.removeAttribute("aria-activedescendant");
}

function drawTotals(server) {
  const messages = [...state.messages.values()];
  for (const button of document.querySelectorAll("[data-channel]")) {
    const channel = button.dataset.channel;
    button.setAttribute("aria-pressed", String(channel === state.channel));
    button.querySelector("output").textContent = messages.filter((m) => !channel || m.channel === channel).length || "";
  }
  if (!server) return;
  const names = [...new Set([...Object.keys(server.totals), ...Object.keys(server.refused)])].sort();
  const cells = names.flatMap((name) => {
    const refused = server.refused[name] ?? 0;
    return [
      make("dt", {}, name),
      make("dd", {}, String(server.totals[name] ?? 0)),
      make("dd", { className: "refused", title: "calls refused" }, refused ? `−${refused}` : ""),
    ];
  });
  byId("totals").replaceChildren(...cells);
}

function facts(pairs) {
  const kept = pairs.filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return make("dl", { className: "facts" }, ...kept.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
}

function aboutPairs(message) {
  const events = message.events.map((e) => [e.event, time.format(new Date(e.at_ms))]);
  return [
    ["Provider", message.provider],
    ["Notification", message.notification_id],
    ["Provider id", message.provider_id],
    ["Fault", message.fault],
    ...events,
  ];
}

function tabs(names, show) {
  const panel = make("div", { className: "panel", attributes: { role: "tabpanel" } });
  const bar = make("div", { className: "tabs", attributes: { role: "tablist", "aria-label": "Parts" } });
  const choose = (name) => {
    for (const button of bar.children) {
      const on = button.textContent === name;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    panel.replaceChildren(show(name));
  };
  bar.append(...names.map((name) => make("button", { type: "button", onclick: () => choose(name), attributes: { role: "tab" } }, name)));
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    const next = bar.children[([...bar.children].indexOf(document.activeElement) + step + names.length) % names.length];
    next.click();
    next.focus();
  });
  choose(names[0]);
  return [bar, panel];
}

function drawMail(message) {
  const names = [...(message.html ? ["HTML"] : []), ...(message.text ? ["Text"] : []), "Details"];
  const show = (name) => {
    if (name === "HTML") {
      const attributes = { sandbox: "allow-popups", referrerpolicy: "no-referrer", title: "The e-mail's HTML" };
      return make("iframe", { src: `/messages/${message.seq}/html`, attributes });
    }
    if (name === "Text") return make("pre", { tabIndex: 0 }, message.text);
    return facts([...aboutPairs(message), ...Object.entries(message.headers), ...Object.entries(message.data)]);
  };
  const at = new Date(message.at_ms);
  const sender = message.from || "unknown";
  return make(
    "div",
    { className: "mail" },
    make(
      "header",
      {},
      make("h2", {}, message.title || "(no subject)"),
      make(
        "div",
        { className: "people" },
        make("span", { className: "face", attributes: { "aria-hidden": "true" } }, sender.replace(/[^\p{L}\p{N}]/gu, "").slice(0, 1).toUpperCase() || "?"),
        make("strong", { className: "sender" }, sender),
        make("time", { className: "soft", dateTime: at.toISOString() }, time.format(at)),
        make("span", { className: "soft recipient" }, `to ${message.to}`),
        chips(message),
      ),
    ),
    ...tabs(names, show),
  );
}

const siblings = (message) => [...state.messages.values()].filter((m) => m.channel === message.channel && m.to === message.to).sort((a, b) => a.seq - b.seq);

function drawTalk(message) {
  const lines = siblings(message).flatMap((m) => [
    make("time", {}, time.format(new Date(m.at_ms))),
    make("div", { className: m.seq === message.seq ? "bubble chosen" : "bubble" }, m.seq === message.seq ? message.text : m.text), // the list holds only beginnings of texts
  ]);
  const talk = make("div", { className: "talk", tabIndex: 0, attributes: { role: "log", "aria-label": "Conversation" } }, ...lines);
  const top = make("div", { className: "top" }, make("b", {}, message.from), make("span", { className: "soft" }, "Text message"));
  requestAnimationFrame(() => talk.querySelector(".chosen")?.scrollIntoView({ block: "nearest" }));
  return make("div", { className: "screen" }, top, talk);
}

function drawLock(message) {
  const now = new Date(message.at_ms);
  const notes = siblings(message).reverse().map((m) =>
    make(
      "button",
      { type: "button", className: m.seq === message.seq ? "note chosen" : "note", dataset: { open: m.seq }, onclick: () => openMessage(m.seq) },
      make("span", { className: "app" }, make("span", {}, m.from), make("span", {}, m.events.some((e) => e.event === "opened") ? "opened" : shortTime.format(new Date(m.at_ms)))),
      make("b", {}, m.title),
      make("span", { className: "body" }, m.text),
    ),
  );
  const clock = make("div", { className: "clock", attributes: { "aria-hidden": "true" } }, make("small", {}, day.format(now)), shortTime.format(now));
  return make("div", { className: "screen lock" }, clock, make("div", { className: "notes" }, ...notes));
}

function drawPhone(message) {
  const screen = message.channel === "sms" ? drawTalk(message) : drawLock(message);
  const hint = message.channel === "push" ? [make("p", { className: "soft hint" }, "Tap the notification to open it.")] : [];
  const pairs = [["To", message.to], ["From", message.from], ...aboutPairs(message), ...Object.entries(message.data), ...Object.entries(message.headers)];
  return make(
    "div",
    { className: "desk" },
    make("div", { className: "phone" }, screen),
    make("div", { className: "side" }, make("h2", {}, message.title || "Message", ...hint), facts(pairs)),
  );
}

async function openMessage(seq) {
  await fetch(`/messages/${seq}/open`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
}

async function choose(seq, focus) {
  state.chosen = seq;
  drawList();
  const element = byId(`m${seq}`);
  element?.scrollIntoView({ block: "nearest" });
  if (element) list.setAttribute("aria-activedescendant", element.id);
  const answer = await fetch(`/messages/${seq}`);
  if (!answer.ok || state.chosen !== seq) return;
  const message = await answer.json();
  state.shown = `${seq}:${message.events.length}`;
  view.replaceChildren(message.channel === "email" ? drawMail(message) : drawPhone(message));
  if (focus) view.focus();
  if (message.channel === "email" && !message.events.some((e) => e.event === "open")) await openMessage(seq);
}

// The message on show was told something new: phones are drawn again, a mail only gets new chips (its frame would flicker).
function refreshView() {
  const message = state.messages.get(state.chosen);
  if (!message || state.shown === `${message.seq}:${message.events.length}`) return;
  if (message.channel === "email") view.querySelector(".people .chips")?.replaceWith(chips(message));
  else choose(message.seq);
}

function step(by) {
  const shown = visible();
  if (!shown.length) return;
  const at = shown.findIndex((m) => m.seq === state.chosen);
  choose(shown[Math.min(Math.max(at + by, 0), shown.length - 1)].seq);
}

async function drawFaults() {
  const { faults } = await (await fetch("/faults")).json();
  byId("faults").hidden = !faults.length;
  byId("faults").querySelector("ul").replaceChildren(...faults.map((f) => make("li", {}, `${f.provider}: ${f.kind} ${f.percent} %`)));
}

function listen() {
  const source = new EventSource("/events");
  const live = byId("live");
  source.onopen = () => { live.textContent = "live"; live.classList.add("on"); };
  source.onerror = () => { live.textContent = "reconnecting"; live.classList.remove("on"); };
  source.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    for (const seq of state.messages.keys()) if (!news.state.kept || seq < news.state.first) state.messages.delete(seq);
    for (const message of news.messages) state.messages.set(message.seq, message);
    const oldest = [...state.messages.keys()].sort((a, b) => a - b);
    for (const seq of oldest.slice(0, -KEEP)) state.messages.delete(seq);
    drawList();
    drawTotals(news.state);
    refreshView();
  };
}

list.addEventListener("click", (event) => {
  const element = event.target.closest(".row");
  if (element) choose(Number(element.dataset.seq));
});
list.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (by) { event.preventDefault(); step(by); }
  if (event.key === "Enter" && state.chosen) choose(state.chosen, true);
});
for (const button of document.querySelectorAll("[data-channel]")) {
  button.addEventListener("click", () => { state.channel = button.dataset.channel; drawList(); drawTotals(); });
}
byId("search").addEventListener("input", ({ target }) => { state.words = target.value.trim().toLowerCase(); drawList(); });
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); list.focus(); step(0); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input")) { event.preventDefault(); byId("search").focus(); }
});
byId("clear").addEventListener("click", async () => {
  await fetch("/messages", { method: "DELETE" });
  state.chosen = 0;
  view.replaceChildren(make("p", { className: "empty" }, "Cleared."));
});

const system = matchMedia("(prefers-color-scheme: dark)");
let theme = localStorage.getItem("theme");
const paint = () => { document.documentElement.dataset.theme = theme ?? (system.matches ? "dark" : "light"); };
system.addEventListener("change", paint);
byId("theme").addEventListener("click", () => {
  theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  paint();
});
paint();
listen();
drawFaults();
setInterval(drawFaults, 5000);
