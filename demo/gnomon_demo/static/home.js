// Prices as they come by WebSocket, and the faults' buttons.
"use strict";

const LENGTH = 60;
const seen = new Map();

function show(symbol, price) {
  const prices = seen.get(symbol) ?? [];
  prices.push(price);
  if (prices.length > LENGTH) prices.shift();
  seen.set(symbol, prices);
  draw(symbol, prices);
}

function draw(symbol, prices) {
  const card = document.querySelector(`[data-symbol="${CSS.escape(symbol)}"]`);
  const price = prices.at(-1);
  card.querySelector(".price").textContent = price.toFixed(2);
  const change = 100 * (price / prices[0] - 1);
  const shown = card.querySelector(".change");
  shown.textContent = `${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(2)} %`;
  shown.className = `change ${change > 0.005 ? "up" : change < -0.005 ? "down" : ""}`;
  const low = Math.min(...prices), span = Math.max(...prices) - low || 1;
  const step = 100 / Math.max(1, prices.length - 1);
  const points = prices.map((p, i) => `${(i * step).toFixed(1)},${(27 - 24 * (p - low) / span).toFixed(1)}`);
  card.querySelector("polyline").setAttribute("points", points.join(" "));
}

let pause = 1000;

function listen() {
  const state = document.getElementById("state");
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/prices`;
  const socket = new WebSocket(address);
  socket.onopen = () => {
    pause = 1000;
    state.textContent = "live";
    state.className = "state live";
    const symbols = [...document.querySelectorAll("[data-symbol]")].map((card) => card.dataset.symbol);
    socket.send(JSON.stringify({ subscribe: symbols }));
  };
  socket.onmessage = (event) => {
    const said = JSON.parse(event.data);
    for (const [symbol, price] of Object.entries(said.prices ?? {})) show(symbol, price);
    // Whatever comes is answered: the desk gives up on clients that never say anything.
    socket.send("{}");
  };
  socket.onclose = () => {
    state.textContent = "no connection";
    state.className = "state lost";
    setTimeout(listen, pause);
    pause = Math.min(30000, 2 * pause);
  };
}

const SECONDS = 300;

async function look() {
  const answer = await fetch("/faults").catch(() => null);
  if (!answer?.ok) return;
  for (const [name, fault] of Object.entries(await answer.json())) {
    const button = document.querySelector(`[data-fault="${CSS.escape(name)}"]`);
    button.setAttribute("aria-pressed", fault.left !== null);
    const left = button.parentElement.querySelector(".left");
    left.textContent = fault.left === null ? "" : `${Math.ceil(fault.left)} s`;
  }
}

document.getElementById("faults").addEventListener("click", async (event) => {
  const name = event.target.dataset.fault;
  if (!name) return;
  const on = event.target.getAttribute("aria-pressed") === "true";
  await fetch(`/faults/${name}${on ? "" : `?seconds=${SECONDS}`}`, { method: on ? "DELETE" : "POST" });
  await look();
});

for (const card of document.querySelectorAll("[data-prices]")) {
  const prices = card.dataset.prices.split(" ").filter(Boolean).map(Number);
  seen.set(card.dataset.symbol, prices);
  if (prices.length) draw(card.dataset.symbol, prices);
}
listen();
look();
setInterval(() => { if (!document.hidden) look(); }, 2000);
