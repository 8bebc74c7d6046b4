"""The page raters see: one HTML document, one style sheet, one script; nothing from elsewhere.

Where it sits on the road: plan → **page** ⇄ server → answers. The script knows steps, pictures and texts, but
not which method or which side is which, nor which questions are checks.
"""

from __future__ import annotations

import html

from stylegan_swap.evaluation.study.manifest import Study


def render(study: Study) -> str:
    """The HTML document with the study's title and consent text."""
    consent = "".join(f"<p>{html.escape(part)}</p>" for part in study.consent.split("\n") if part.strip())
    return _HTML.replace("{title}", html.escape(study.title)).replace("{consent}", consent)


_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<main id="welcome" hidden>
  <h1>{title}</h1>
  {consent}
  <button id="begin">I agree – begin</button>
</main>
<main id="task" hidden>
  <div id="bar" role="progressbar" aria-label="progress" aria-valuemin="0"><div id="done"></div></div>
  <p id="count"></p>
  <h2 id="question"></h2>
  <figure id="reference"><img alt="The photo the question is about"></figure>
  <div id="pictures"></div>
  <div id="buttons"></div>
  <p id="keys"></p>
</main>
<main id="end" hidden>
  <h1>Thank you!</h1>
  <p>All your answers are saved. You may close the page.</p>
  <button id="another">Another person answers on this device</button>
</main>
<p id="message" role="status"></p>
<noscript><p>This page needs JavaScript.</p></noscript>
<script src="/page.js"></script>
</html>
"""

CSS = """
:root { color-scheme: light dark; --line: #8886; --accent: #1a66cc; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 10px 12px 12px; max-width: 900px; font: 17px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 0 0 8px; min-height: 2.8em; }
#bar { height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; }
#done { height: 100%; width: 0; background: var(--accent); }
#count, #keys { font-size: .8rem; opacity: .75; margin: 2px 0 8px; }
/* Everything on one screen: what is left after texts and buttons goes to the pictures. */
#task:not([hidden]) { display: flex; flex-direction: column; height: calc(100dvh - 56px); min-height: 500px; }
#task > * { flex: none; }
figure { height: 28%; margin: 0 auto 8px; }
figure img { max-width: 100%; height: 100%; object-fit: contain; border-radius: 8px; }
#task > #pictures { flex: 1 1 0; min-height: 0; display: flex; gap: 8px; justify-content: center;
  align-items: center; }
#pictures img { flex: 1 1 0; min-width: 0; max-width: 512px; max-height: 100%; object-fit: contain;
  border-radius: 8px; touch-action: manipulation; }
#pictures.pair img { cursor: pointer; }
#buttons { display: flex; gap: 8px; margin-top: 10px; }
button { font: inherit; min-height: 60px; padding: 6px; border: 2px solid var(--accent);
  border-radius: 12px; background: transparent; color: inherit; touch-action: manipulation;
  cursor: pointer; }
#buttons button { flex: 1 1 0; min-width: 0; }
#begin, #another { width: 100%; }
#begin { background: var(--accent); color: #fff; font-weight: 600; }
button:disabled { opacity: .4; cursor: default; }
button small { display: block; font-size: .72rem; line-height: 1.15; }
button:focus-visible, #pictures img:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
#message { color: #c33; min-height: 1.4em; margin: 4px 0 0; }
@media (hover: none) { #keys { display: none; } }
"""

SCRIPT = r"""'use strict';
const $ = id => document.getElementById(id);
let plan = null, todo = [], shown = 0, busy = false, token = null;

function remember(value) {
  token = value;
  try { value ? localStorage.setItem('rater', value) : localStorage.removeItem('rater'); } catch (e) {}
  history.replaceState(null, '', value ? '?rater=' + value : location.pathname);
}
function show(id) {
  for (const part of ['welcome', 'task', 'end']) $(part).hidden = part !== id;
}
const pause = ms => new Promise(done => setTimeout(done, ms));

// Every request may be repeated: the server keeps the first answer to a step.
async function send(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const options = body && { method: 'POST', headers: { 'Content-Type': 'application/json' },
                                body: JSON.stringify(body) };
      const reply = await fetch(path, options || {});
      if (reply.ok) { $('message').textContent = ''; return await reply.json(); }
      if (reply.status < 500) return null;
    } catch (e) {}
    $('message').textContent = 'Not saved yet: no connection. Trying again …';
    await pause(wait);
  }
}

async function start() {
  const plans = token ? await send('/api/plan?rater=' + token) : null;
  if (!plans) { remember(null); show('welcome'); return; }
  plan = plans;
  const answered = new Set(plan.answered);
  todo = plan.steps.map((_, number) => number).filter(number => !answered.has(number));
  next();
}

function next() {
  const total = plan.steps.length, finished = total - todo.length;
  $('bar').setAttribute('aria-valuemax', total);
  $('bar').setAttribute('aria-valuenow', finished);
  $('done').style.width = 100 * finished / total + '%';
  if (!todo.length) { show('end'); return; }
  const step = plan.steps[todo[0]];
  $('count').textContent = (finished + 1) + ' of ' + total;
  $('question').textContent = step.text;
  $('reference').hidden = !step.reference;
  if (step.reference) $('reference').firstElementChild.src = step.reference;
  $('pictures').className = step.pictures.length > 1 ? 'pair' : '';
  $('pictures').replaceChildren(...step.pictures.map((source, side) => {
    const image = new Image();
    image.src = source;
    image.alt = step.pictures.length > 1 ? ['Picture A', 'Picture B'][side] : 'The picture';
    if (step.pictures.length > 1) image.onclick = () => answer(['left', 'right'][side]);
    return image;
  }));
  $('buttons').replaceChildren(...step.choices.map(choice => {
    const button = document.createElement('button');
    button.textContent = choice.label;
    button.dataset.value = choice.value;
    if (choice.note) {
      const note = document.createElement('small');
      note.textContent = choice.note;
      button.append(note);
    }
    button.onclick = () => answer(choice.value);
    return button;
  }));
  $('keys').textContent = step.pictures.length > 1
    ? 'Keys: ← A' + (step.choices.length > 2 ? ', ↓ no difference' : '') + ', → B' : 'Keys: 1 to 5';
  show('task');
  ready(step);
  const later = plan.steps[todo[1]];
  if (later) for (const source of [...later.pictures, later.reference]) if (source) new Image().src = source;
}

// Nobody can answer before the pictures are there; the time counts from then on. The pause keeps the second
// half of a double click from answering a question nobody has seen.
async function ready(step) {
  busy = true;
  for (const button of $('buttons').children) button.disabled = true;
  const images = [...$('pictures').children];
  await Promise.all([pause(400), ...images.map(image => image.decode().catch(() => {}))]);
  if (images[0] !== $('pictures').children[0]) return;
  for (const button of $('buttons').children) button.disabled = false;
  shown = performance.now();
  busy = false;
}

async function answer(value) {
  if (busy || !todo.length) return;
  busy = true;
  for (const button of $('buttons').children) button.disabled = true;
  const saved = await send('/api/answer',
    { rater: token, step: todo[0], answer: value, ms: Math.round(performance.now() - shown) });
  if (!saved) { start(); return; }
  todo.shift();
  next();
}

document.addEventListener('keydown', event => {
  if ($('task').hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = { ArrowLeft: 'left', ArrowDown: 'tie', ArrowRight: 'right' }[event.key] || event.key;
  if (todo.length && plan.steps[todo[0]].choices.some(choice => choice.value === key)) {
    event.preventDefault();
    answer(key);
  }
});
$('begin').onclick = async () => {
  // The second half of a double click must not make a second rater.
  if (token) return;
  $('begin').disabled = true;
  const bits = crypto.getRandomValues(new Uint8Array(16));
  const fresh = Array.from(bits, bit => bit.toString(16).padStart(2, '0')).join('');
  token = fresh;
  const joined = await send('/api/join', { rater: fresh, consent: true });
  $('begin').disabled = false;
  remember(joined ? fresh : null);
  if (!joined) { $('message').textContent = 'The study takes no more raters.'; return; }
  start();
};
$('another').onclick = () => { remember(null); show('welcome'); };

const named = new URLSearchParams(location.search).get('rater');
let stored = null;
try { stored = localStorage.getItem('rater'); } catch (e) {}
const known = named || stored;
if (known && /^[0-9a-f]{32}$/.test(known)) remember(known);
start();
"""
