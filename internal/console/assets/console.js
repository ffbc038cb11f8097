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

  const alike = (a, b) =>
    a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "") && a.className === b.className &&
    // A form that does something else is another one: what was typed into the old one was not meant for it.
    (a.nodeName !== "FORM" || a.getAttribute("action") === b.getAttribute("action"));

  // partner finds what stands for a node of the answer: the element of its id, or the next one that is like it.
  const partner = (next, from, at) => {
    if (next.id) return [...from.children].find((old) => old.id === next.id && old.nodeName === next.nodeName);
    for (let old = at; old; old = old.nextSibling) {
      if (alike(old, next)) return old;
      if (old.id) return undefined; // not across what has a name of its own
    }
    return undefined;
  };

  const morph = (from, to) => {
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const old = partner(next, from, at);
      if (!old) {
        from.insertBefore(document.importNode(next, true), at);
        continue;
      }
      if (next.id && old !== at) {
        from.insertBefore(old, at);
      } else {
        while (at !== old) {
          const skipped = at;
          at = at.nextSibling;
          skipped.remove();
        }
        at = old.nextSibling;
      }
      if (old.nodeType === Node.TEXT_NODE) {
        if (old.data !== next.data) old.data = next.data;
      } else if (old.nodeType === Node.ELEMENT_NODE) {
        attributes(old, next);
        morph(old, next);
      }
    }
    while (at) {
      const left = at;
      at = at.nextSibling;
      left.remove();
    }
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
