// Sends recordings: one to be transcribed at once, several as a batch.
"use strict";

const form = document.getElementById("recordings");
const said = document.getElementById("said");

form.elements.files.addEventListener("change", () => {
  const files = [...form.elements.files.files];
  document.getElementById("chosen").textContent = files.map((file) => file.name).join(", ");
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send([...form.elements.files.files]);
});

document.getElementById("sample").addEventListener("click", () => {
  send([220, 330, 440, 550, 660].map((hertz, n) => new File([tones(hertz, 2 + n)], `tone-${hertz}.wav`)));
});

async function send(files) {
  if (!files.length) { say("Choose a file first."); return; }
  const body = new FormData();
  const alone = files.length === 1;
  for (const file of files) body.append(alone ? "file" : "files", file);
  if (!alone) body.append("priority", form.elements.priority.value);
  say("Sending …");
  const answer = await fetch(alone ? "/transcribe" : "/transcribe/batches", { method: "POST", body }).catch(() => null);
  const found = answer ? await answer.json().catch(() => ({})) : {};
  if (!answer?.ok) { say(`Not taken: ${found.detail ?? "the desk does not answer"}`, true); return; }
  location.href = alone ? `/performance/files/${found.id}` : `/performance/batches/${found.batch}`;
}

function say(text, bad = false) {
  said.textContent = text;
  said.className = bad ? "bad" : "";
}

// A WAV file of a few tones with silence between them.
function tones(hertz, seconds, rate = 16000) {
  const length = rate * seconds;
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2]].forEach(
    ([at, value, size]) => (size === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true)));
  text(36, "data"); view.setUint32(40, 2 * length, true);
  for (let n = 0; n < length; n++) {
    const sounds = n % rate < 0.6 * rate;
    view.setInt16(44 + 2 * n, sounds ? 16000 * Math.sin(2 * Math.PI * hertz * n / rate) : 0, true);
  }
  return view.buffer;
}
