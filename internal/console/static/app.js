// The console's own script: times where the reader is, pages that refresh when
// something on them has changed, and a button that copies. Without it every
// page works, a little less smoothly.
(() => {
  "use strict";
  const lang = document.documentElement.lang || undefined;
  const forms = {
    full: { dateStyle: "medium", timeStyle: "medium" },
    clock: { timeStyle: "medium" },
    date: { dateStyle: "medium" },
  };
  const writers = Object.fromEntries(Object.entries(forms).map(([k, o]) => [k, new Intl.DateTimeFormat(lang, { ...o, hour12: k === "date" ? undefined : false })]));
  const dress = () => {
    for (const t of document.querySelectorAll("time[data-form]")) {
      const at = new Date(t.dateTime), text = isNaN(at) ? "" : writers[t.dataset.form]?.format(at);
      if (text && t.textContent !== text) t.textContent = text;
      if (text) t.title = writers.full.format(at);
    }
    for (const b of document.querySelectorAll("[data-copy][hidden]")) if (navigator.clipboard) b.hidden = false;
  };
  dress();
  document.addEventListener("htmx:after:swap", dress);
  document.addEventListener("click", (e) => {
    const b = e.target.closest?.("[data-copy]");
    if (b) navigator.clipboard.writeText(document.getElementById(b.dataset.copy).textContent);
  });

  const url = document.body.dataset.events;
  if (!url || !window.EventSource) return;
  const sign = document.getElementById("live");
  const show = (on) => {
    sign.hidden = false;
    sign.classList.toggle("on", on);
    const text = on ? sign.dataset.yes : sign.dataset.no;
    if (sign.textContent !== text) sign.textContent = text;
  };

  // A page says what makes it stale: "*", ids, or "kind:" with the start of a kind.
  const stale = (e) => (document.getElementById("main")?.dataset.live ?? "").split(" ").some((w) =>
    w === "*" || (w !== "" && (w === e.subject?.id || w === e.cause)) || (w.startsWith("kind:") && e.kind?.startsWith(w.slice(5))));
  const busy = () => document.activeElement?.closest?.("#main input:not([type=hidden]), #main select, #main textarea");
  let waiting = 0, asked = 0;
  const refresh = () => {
    waiting = 0;
    if (document.hidden || busy()) return again(1000); // not under somebody's hands
    asked = Date.now();
    window.htmx?.ajax("GET", location.pathname + location.search.replace(/([?&])done=[^&]*/, "$1"), { target: "#main", swap: "outerMorph" });
  };
  // At most one refresh a second, the first within 150 ms.
  const again = (least) => { waiting ||= setTimeout(refresh, Math.max(least, asked + 1000 - Date.now())); };

  const source = new EventSource(url);
  let lost = false;
  source.onopen = () => { show(true); if (lost) again(150); lost = false; }; // what happened meanwhile is on the page
  source.onerror = () => { show(false); lost = true; };
  source.onmessage = (m) => {
    try { if (stale(JSON.parse(m.data))) again(150); } catch { /* not one of ours */ }
  };
})();
