// Keeps the live part of a page up to date: it is fetched again every two seconds, and what differs is put in its place,
// so that the focus, what is typed and what is unfolded stay. Nothing depends on it: without it a page is as it was when it
// was loaded.
"use strict";

(() => {
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!live || !live.hasAttribute("data-live") || !state) return;

  const every = 2000;
  const slowest = 30000;
  let failures = 0;
  let timer = 0;

  const say = (text, tone) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.tone = tone;
  };

  // What a person has changed in the page is not in the answer: it stays.
  const kept = new Set(["open", "value", "checked", "selected"]);

  const attributes = (from, to) => {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !kept.has(name)) from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      if (!kept.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
  };

  const morph = (from, to) => {
    const before = [...from.childNodes];
    const after = [...to.childNodes];
    after.forEach((next, i) => {
      const old = before[i];
      if (!old) {
        from.append(document.importNode(next, true));
      } else if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || (old.id || "") !== (next.id || "")) {
        old.replaceWith(document.importNode(next, true));
      } else if (old.nodeType === Node.TEXT_NODE) {
        if (old.data !== next.data) old.data = next.data;
      } else if (old.nodeType === Node.ELEMENT_NODE) {
        attributes(old, next);
        if (old.nodeName !== "TEXTAREA") morph(old, next);
      }
    });
    before.slice(after.length).forEach((old) => old.remove());
  };

  const refresh = async () => {
    const asked = location.href;
    const answer = await fetch(asked, { headers: { "X-Fragment": "live" }, credentials: "same-origin", redirect: "manual", signal: AbortSignal.timeout(10000) });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    if (location.href !== asked) return;
    morph(live, new DOMParser().parseFromString("<main>" + text + "</main>", "text/html").querySelector("main"));
  };

  const plan = (delay) => {
    clearTimeout(timer);
    timer = setTimeout(turn, delay);
  };

  const turn = async () => {
    if (document.hidden) {
      say("paused", "calm");
      return;
    }
    try {
      await refresh();
      failures = 0;
      say("live", "good");
    } catch {
      failures++;
      say("not up to date", "warn");
    }
    plan(Math.min(slowest, every * 2 ** Math.min(failures, 5)));
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) plan(0);
  });
  say("live", "good");
  plan(every);
})();
