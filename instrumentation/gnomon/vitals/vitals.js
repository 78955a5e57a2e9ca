// Web Vitals of one page view, told once, when the page is first hidden or left.
(() => {
  "use strict";
  const script = document.currentScript;
  const Observer = window.PerformanceObserver;
  const types = (Observer && Observer.supportedEntryTypes) || [];
  if (!script || !types.length || !navigator.sendBeacon || Math.random() >= __SAMPLE__) return;

  const target = script.src.replace(/vitals\.js(?:[?#].*)?$/, "vitals");
  const route = script.dataset.route;
  const path = location.pathname; // what a later pushState shows was never loaded
  const flushes = [];
  const navigation = performance.getEntriesByType("navigation")[0];
  // A page that was rendered beforehand begins when somebody looks at it.
  const since = (time) => Math.max(0, time - ((navigation && navigation.activationStart) || 0));

  let hidden = document.visibilityState === "hidden" && !document.prerendering ? 0 : Infinity;
  let told = false;
  let seen = {}; // milliseconds, but for cls

  const watch = (type, each, options) => {
    if (!types.includes(type)) return;
    try {
      const observer = new Observer((list) => list.getEntries().forEach(each));
      observer.observe({ type, buffered: true, ...options });
      flushes.push(() => observer.takeRecords().forEach(each));
    } catch {
      // This browser lists a type that it cannot watch: then there is no such number.
    }
  };

  watch("paint", (entry) => {
    if (entry.name === "first-contentful-paint" && entry.startTime < hidden) {
      seen.fcp = since(entry.startTime);
    }
  });
  watch("largest-contentful-paint", (entry) => {
    if (entry.startTime < hidden) seen.lcp = since(entry.startTime);
  });

  // Layout shifts count by sessions: less than 1 s apart, at most 5 s long. The worst one is told.
  let session, first, last;
  watch("layout-shift", (entry) => {
    if (entry.hadRecentInput) return;
    if (session && entry.startTime - last < 1000 && entry.startTime - first < 5000) {
      session += entry.value;
    } else {
      session = entry.value;
      first = entry.startTime;
    }
    last = entry.startTime;
    seen.cls = Math.max(seen.cls || 0, session);
  });

  // Of fifty interactions the slowest one is left out, of a hundred the slowest two, and so on.
  let slowest = [];
  let ids = [Infinity, 0];
  let before = 0; // what the browser counted before the page came back from its cache
  const interaction = (entry) => {
    const id = entry.interactionId;
    if (!id) return;
    ids = [Math.min(ids[0], id), Math.max(ids[1], id)];
    const known = slowest.find((other) => other.id === id);
    if (known) known.duration = Math.max(known.duration, entry.duration);
    else slowest.push({ id, duration: entry.duration });
    slowest.sort((one, other) => other.duration - one.duration);
    slowest.length = Math.min(slowest.length, 10);
  };
  watch("event", interaction, { durationThreshold: 16 });
  watch("first-input", interaction);
  const interactions = () =>
    "interactionCount" in performance
      ? performance.interactionCount - before
      : (ids[1] - ids[0]) / 7 + 1; // browsers that do not count give every seventh number

  const tell = () => {
    if (told) return;
    told = true;
    flushes.forEach((flush) => flush());
    if (slowest.length) {
      const index = Math.min(slowest.length - 1, Math.floor(interactions() / 50));
      seen.inp = slowest[index].duration;
    }
    // Nothing shifted on a page that was drawn: that is 0. Of any other page it is not known.
    if (types.includes("layout-shift") && seen.fcp !== undefined) seen.cls = seen.cls || 0;
    else delete seen.cls;
    const report = { path };
    if (route) report.route = route;
    for (const [name, value] of Object.entries(seen)) {
      report[name] = Number(value.toFixed(name === "cls" ? 5 : 1));
    }
    if (Object.keys(seen).length) {
      navigator.sendBeacon(target, new Blob([JSON.stringify(report)], { type: "application/json" }));
    }
  };

  if (navigation && navigation.responseStart > 0) seen.ttfb = since(navigation.responseStart);
  addEventListener(
    "visibilitychange",
    (event) => {
      if (document.visibilityState !== "hidden") return;
      hidden = Math.min(hidden, event.timeStamp);
      tell();
    },
    true,
  );
  addEventListener("pagehide", tell, true);
  // A page that comes back from the browser's cache is a view of its own, and asked no server.
  addEventListener(
    "pageshow",
    (event) => {
      if (!event.persisted) return;
      told = false;
      hidden = Infinity;
      seen = {};
      session = undefined;
      slowest = [];
      before = performance.interactionCount || 0;
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          seen.fcp = seen.lcp = performance.now() - event.timeStamp;
        }),
      );
    },
    true,
  );
})();
