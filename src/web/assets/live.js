// Keeps an open page up to date: hears from the daemon what is new, replaces just that, and counts
// elapsed times. Without this script the page shows how things stood when it was loaded.
'use strict';

(() => {
  const body = document.body;
  const pulse = document.getElementById('pulse');
  const news = document.getElementById('news');
  // The daemon's clock counts, not the reader's.
  let ahead = Number(body.dataset.now) - Date.now();

  const inWords = (ms) => {
    const all = Math.max(0, Math.floor(ms / 1000));
    const two = (n) => String(n).padStart(2, '0');
    const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
    if (h > 0) return `${h}h ${two(m)}m ${two(s)}s`;
    return m > 0 ? `${m}m ${two(s)}s` : `${s}s`;
  };

  const tick = () => {
    if (document.hidden) return;
    const now = Date.now() + ahead;
    for (const element of document.querySelectorAll('[data-since]')) {
      const since = now - Number(element.dataset.since);
      if (element.tagName === 'PROGRESS') {
        element.value = Math.min(since, element.max);
      } else {
        const words = inWords(since);
        if (element.textContent !== words) element.textContent = words;
      }
    }
    for (const element of document.querySelectorAll('[data-until]')) {
      const words = inWords(Number(element.dataset.until) - now);
      if (element.textContent !== words) element.textContent = words;
    }
  };

  const parse = (html) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content;
  };

  // What the reader has open and where the focus is survives the replacement of what holds it.
  const keep = (old, fresh) => {
    const wasOpen = old.querySelectorAll('details');
    fresh.querySelectorAll('details').forEach((details, at) => {
      if (wasOpen[at] && wasOpen[at].open) details.open = true;
    });
    const active = document.activeElement;
    if (!active || active === body || !old.contains(active)) return () => {};
    const tag = active.tagName;
    const href = active.getAttribute('href');
    const same = (root) => [...root.querySelectorAll(tag)].filter((one) => one.getAttribute('href') === href);
    const place = same(old).indexOf(active);
    return (root) => {
      const now = same(root);
      const target = now[place] || now[0];
      if (target) target.focus({ preventScroll: true });
    };
  };

  const replacePart = (id, html) => {
    const old = document.getElementById(id);
    if (!old) return;
    const fresh = old.cloneNode(false);
    fresh.append(parse(html));
    const refocus = keep(old, fresh);
    old.replaceWith(fresh);
    refocus(fresh);
  };

  const updateList = (id, change) => {
    const list = document.getElementById(id);
    if (!list) return;
    const whole = document.querySelector(`[data-more="${id}"]`) !== null;
    const own = new Map([...list.children].map((child) => [child.id, child]));
    for (const [key, html] of Object.entries(change.entries || {})) {
      const fresh = parse(html).firstElementChild;
      const old = own.get(key);
      if (list.children.length > 0 && !whole) fresh.classList.add('fresh');
      own.set(key, fresh);
      if (old) {
        const refocus = keep(old, fresh);
        old.replaceWith(fresh);
        refocus(fresh);
      }
    }
    if (change.order) {
      const wanted = new Set(change.order);
      for (const child of [...list.children]) if (!wanted.has(child.id)) child.remove();
      let next = list.firstElementChild;
      for (const key of change.order) {
        const child = own.get(key);
        if (!child) continue;
        if (child === next) next = next.nextElementSibling;
        else list.insertBefore(child, next);
      }
    }
    const more = document.querySelector(`[data-more="${id}"]`);
    if (more) more.remove();
    const count = document.querySelector(`[data-count="${id}"]`);
    if (count) count.textContent = String(list.children.length);
  };

  const apply = (update) => {
    ahead = update.now - Date.now();
    if (update.reload) {
      location.reload();
      return;
    }
    for (const [id, html] of Object.entries(update.parts || {})) replacePart(id, html);
    for (const [id, change] of Object.entries(update.lists || {})) updateList(id, change);
    if (update.news) news.textContent = update.news.join('. ');
    tick();
  };

  const say = (words, state) => {
    if (pulse.textContent !== words) pulse.textContent = words;
    pulse.className = `pulse ${state}`;
  };

  let wait = 1000;
  let at = body.dataset.at;
  let first = true;
  const listen = () => {
    const address = body.dataset.live;
    // Only the first stream finds the page as it was written.
    const most = first ? `&most=${body.dataset.most}` : '';
    const source = new EventSource(`${address}${address.includes('?') ? '&' : '?'}at=${at}${most}`);
    source.onopen = () => {
      wait = 1000;
      say('live', 'on');
    };
    source.addEventListener('update', (event) => {
      at = event.lastEventId;
      first = false;
      apply(JSON.parse(event.data));
    });
    source.onerror = () => {
      say('not live: trying again', 'off');
      // The browser itself tries again after a cut, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(listen, wait);
        wait = Math.min(wait * 2, 30000);
      }
    };
  };

  // The slash brings one to the search, as on many sites.
  document.addEventListener('keydown', (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      document.getElementById('q').focus();
    }
  });

  document.addEventListener('visibilitychange', tick);
  setInterval(tick, 1000);
  listen();
})();
