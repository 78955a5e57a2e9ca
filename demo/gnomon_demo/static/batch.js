// Follows a batch by server-sent events, and shows it anew once it is done.
"use strict";

const progress = document.getElementById("progress");

if (progress.dataset.open !== "0") {
  const events = new EventSource(`/transcribe/batches/${progress.dataset.batch}/events`);
  events.addEventListener("progress", (event) => {
    const states = JSON.parse(event.data);
    const words = ["done", "running", "queued", "failed"].filter((state) => states[state]);
    progress.textContent = words.map((state) => `${states[state]} ${state}`).join(", ");
  });
  events.addEventListener("done", () => {
    events.close();
    location.reload();
  });
}
