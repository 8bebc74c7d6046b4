'use strict';
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
