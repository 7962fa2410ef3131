// The page: a sentence is asked, the point is dragged, the track changes at once, blind A/B.
import { Player, bandGains } from "/audio.js";
import { drawCurve, drawPlane, toPlane } from "/drawing.js";

const AXES = ["x", "y"];
const $ = (id) => document.getElementById(id);
const state = { point: [0, 0], answer: null, listeners: [], chosen: null, blind: null, asked: 0 };
let config;
let player;

function say(text, wrong = false) {
  $("message").textContent = text;
  $("message").classList.toggle("wrong", wrong);
}

function heardGains() {
  const flat = config.plane.bands.map(() => 0);
  if (state.blind) return state.blind.order[state.blind.now] === "flat" ? flat : bandGains(config.plane, state.blind.point);
  return $("bypass").checked ? flat : bandGains(config.plane, state.point);
}

function draw() {
  drawPlane($("plane"), config.plane, state);
  drawCurve($("curve"), config.plane, state, Array.from(player.response(bandGains(config.plane, state.point))));
}

// The nearest setting that the control offers.
function nearest(point) {
  const { step_db: step, decimals } = config.plane;
  return AXES.map((name, i) => {
    const [first, last] = config.plane[name].offered_db;
    return Number(Math.min(last, Math.max(first, Math.round(point[i] / step) * step)).toFixed(decimals)) + 0;
  });
}

// A setting in words, as the axes and sliders name it.
const setting = (point) => AXES.map((name, i) => `${config.plane[name].name} ${inText(point[i])}`).join(", ") + " dB";

const inText = (value) => value.toFixed(config.plane.decimals);

function moveTo(point) {
  endBlind();
  state.point = nearest(point);
  AXES.forEach((name, i) => {
    $(name).value = state.point[i];
    $(`${name}-value`).textContent = `${inText(state.point[i])} dB`;
  });
  player.set(heardGains());
  draw();
}

async function ask(event) {
  event.preventDefault();
  const text = $("sentence").value.trim();
  if (!text) { say("Say how it should sound first.", true); return; }
  if (text.length > config.most_characters) {
    say(`The sentence has ${text.length} characters; ${config.most_characters} at most.`, true);
    return;
  }
  const turn = state.asked += 1;
  say("Asking…");
  try {
    const reply = await fetch("/api/ask", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text, predictor: $("predictor").value }),
    });
    const answer = await reply.json();
    if (turn !== state.asked) return; // a later question has been asked
    if (!reply.ok) { say(answer.error, true); return; }
    show(answer);
    say("");
  } catch {
    if (turn === state.asked) say("The server does not answer; is 'popeq demo' still running?", true);
  }
}

function show(answer) {
  state.answer = answer;
  state.listeners = [];
  state.chosen = null;
  const percent = (share) => `${Math.round(100 * share)} %`;
  const sure = answer.sure;
  const asked = answer.text.length > 80 ? `${answer.text.slice(0, 79)}…` : answer.text;
  document.title = `popeq: “${asked}”`;
  $("plane-title").textContent = `Settings for “${asked}”`;
  $("sure").textContent = `${percent(sure.near_share)} of the predicted listeners are within ${sure.near_db} dB of `
    + `the recommended setting, 1 (by chance ${percent(sure.chance_share)}); mean distance ${sure.expected_distance_db.toFixed(1)} dB`;
  $("modes").replaceChildren(...answer.modes.map((mode, i) => item(
    `${i + 1}${i ? "" : ", recommended"}: ${percent(mode.weight)} around ${setting([mode.x_db, mode.y_db])}`,
    () => moveTo([mode.x_db, mode.y_db]))));
  $("nearest").replaceChildren(...answer.nearest.map((known, i) => {
    const entry = item(`“${known.text}” (${known.similarity.toFixed(2)})`, () => choose(i));
    entry.firstChild.setAttribute("aria-pressed", "false");
    return entry;
  }));
  const model = answer.model ? ` (${answer.model})` : "";
  $("source").textContent = `Answered by ${answer.predictor}${model}, fitted on `
    + `${answer.simulated ? "simulated " : ""}listeners of ${answer.dataset}.`;
  moveTo([answer.recommended.x_db, answer.recommended.y_db]);
  if (answer.nearest.length) choose(0);
}

function choose(i) {
  state.chosen = state.chosen === i ? null : i;
  state.listeners = state.chosen === null ? [] : state.answer.nearest[i].points;
  [...$("nearest").children].forEach((entry, k) => entry.firstChild.setAttribute("aria-pressed", String(k === state.chosen)));
  draw();
}

function item(text, action) {
  const [entry, button] = [document.createElement("li"), document.createElement("button")];
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", action);
  entry.append(button);
  return entry;
}

// The order of A and B is a fresh random bit, and nothing on the page shows it before the choice.
function startBlind() {
  if (state.point[0] === 0 && state.point[1] === 0) { say("Move the point first; there is nothing to compare.", true); return; }
  say("");
  const order = crypto.getRandomValues(new Uint8Array(1))[0] & 1 ? ["flat", "setting"] : ["setting", "flat"];
  state.blind = { order, now: 0, point: [...state.point] };
  $("blind-test").hidden = false;
  $("blind-result").textContent = "One is your setting, one is without equaliser.";
  listenTo(0);
}

function listenTo(which) {
  state.blind.now = which;
  ["listen-a", "listen-b"].forEach((id, i) => $(id).classList.toggle("on", i === which));
  player.set(heardGains());
}

function prefer(which) {
  const preferred = state.blind.order[which];
  endBlind();
  $("blind-result").textContent = preferred === "flat" ? "You preferred it without equaliser." : "You preferred the setting.";
  player.set(heardGains());
}

function endBlind() {
  state.blind = null;
  $("blind-test").hidden = true;
  $("blind-result").textContent = "";
}

async function loadTrack(bytes, name) {
  try {
    await player.load(bytes);
  } catch {
    say(`${name}: this file cannot be decoded as audio; choose a whole wav, flac, ogg or mp3 file.`, true);
    return false;
  }
  say("");
  $("play").textContent = "Play";
  return true;
}

async function loadChosen() {
  const track = config.tracks[$("track").selectedIndex];
  if (!track) return;
  $("file-name").textContent = "Your own file";
  await loadTrack(await (await fetch(track.url)).arrayBuffer(), track.name);
}

async function togglePlay() {
  if (player.playing) { player.stop(); $("play").textContent = "Play"; return; }
  if (!player.buffer) await loadChosen();
  if (!player.buffer) return;
  await player.play();
  player.set(heardGains());
  $("play").textContent = "Stop";
}

function controls() {
  const canvas = $("plane");
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    moveTo(toPlane(canvas, config.plane, event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) moveTo(toPlane(canvas, config.plane, event));
  });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    moveTo(AXES.map((name, i) => state.point[i] + way[i] * keyStep(config.plane[name])));
  });
  AXES.forEach((name, i) => {
    const axis = config.plane[name];
    [$(name).min, $(name).max] = axis.offered_db;
    $(name).step = config.plane.step_db;
    $(name).title = `${axis.low} … ${axis.high}`;
    $(`${name}-name`).textContent = axis.name;
    $(name).addEventListener("input", () => {
      const point = [...state.point];
      point[i] = Number($(name).value);
      moveTo(point);
    });
  });
}

// An arrow key crosses the box in about sixty steps, and moves by a step of the control at least.
function keyStep(axis) {
  return config.plane.step_db * Math.max(1, Math.round((axis.high_db - axis.low_db) / 60 / config.plane.step_db));
}

async function main() {
  config = await (await fetch("/api/config")).json();
  player = new Player(config);
  $("predictor").replaceChildren(...config.predictors.map((p) => new Option(p.name, p.name)));
  $("track").replaceChildren(...config.tracks.map((t) => new Option(t.name)));
  $("question").addEventListener("submit", ask);
  $("predictor").addEventListener("change", () => { if (state.answer) $("question").requestSubmit(); });
  $("play").addEventListener("click", togglePlay);
  $("track").addEventListener("change", loadChosen);
  $("bypass").addEventListener("change", () => { endBlind(); player.set(heardGains()); });
  $("file").addEventListener("change", async () => {
    const file = $("file").files[0];
    if (!file || !await loadTrack(await file.arrayBuffer(), file.name)) return;
    $("track").selectedIndex = -1; // what is heard is the file, whose name the button bears
    $("file-name").textContent = file.name;
    await togglePlay();
  });
  $("blind-start").addEventListener("click", startBlind);
  $("listen-a").addEventListener("click", () => listenTo(0));
  $("listen-b").addEventListener("click", () => listenTo(1));
  $("prefer-a").addEventListener("click", () => prefer(0));
  $("prefer-b").addEventListener("click", () => prefer(1));
  controls();
  moveTo([0, 0]);
  for (const name of ["ask", "play", "file", "blind-start"]) $(name).disabled = false; // before, a click was lost
  say("");
  // For tests and the curious: what the audio graph is set to right now.
  window.popeq = {
    state,
    graph: () => ({
      filters: player.filters.map((f) => ({ type: f.type, frequency: f.frequency.value, q: f.Q.value, gain: f.gain.value })),
      level: player.level.gain.value, context: player.context.state, playing: player.playing,
      response: Array.from(player.response(player.filters.map((f) => f.gain.value))), hz: config.plane.curve_hz,
    }),
  };
}

main().catch(() => say("The page could not be set up; reload it.", true));
