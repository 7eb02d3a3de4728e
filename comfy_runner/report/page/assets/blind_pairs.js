// Two upscaled pictures of one original, sides at random and nothing said of them: which one is better?

const blind = { jobs: [], shown: null, done: [], parts: {} };

const ofPictureNow = ({ left, right, left_sha256, right_sha256 }) => [[left, left_sha256], [right, right_sha256]].every(([id, hash]) => !hash || jobs.some((job) => job.id === id && job.sha256 === hash));

function askNext() {
  const { next, clear, all, order } = nextPair(blind.jobs, picking.pairs.filter(ofPictureNow));
  blind.parts.count.textContent = `${plural(blind.done.length, 'answer')}, ${clear} of ${plural(all, 'order')} clear`;
  blind.parts.back.disabled = !blind.done.length;
  if (next) ask(Math.random() < 0.5 ? next : [...next].reverse(), null);
  else tellOrder(order);
}

/** Show two jobs; `at` is when they were asked about before, for an answer that is corrected. */
function ask(sides, at) {
  blind.shown = { sides, at };
  const [left, right] = sides.map((job, index) => ({ picture: picture(job, 'upscaled'), name: '', alt: index ? 'the right one' : 'the left one' }));
  blind.parts.answers.forEach((node) => { node.hidden = false; });
  blind.parts.body.replaceChildren(stage.area);
  stage.view = WHOLE;
  setStage('side', left, right, [left, right]);
}

function tellOrder(order) {
  blind.shown = null;
  blind.parts.answers.forEach((node) => { node.hidden = true; });
  stage.area.replaceChildren();
  blind.parts.body.replaceChildren(el('div', { class: 'order', role: 'status' },
    el('h3', {}, order.length ? 'The order is clear' : 'There is nothing to compare among the pictures shown'),
    el('ol', {}, order.map(({ label, better, of }) => el('li', {}, isolated(label), el('span', { class: 'quiet' }, ` better in ${better} of ${of}`)))),
    order.length ? el('p', { class: 'quiet' }, 'Best first; neighbours may be about as good. comfy-runner suggest says how sure this is.') : null));
}

function answer(better) {
  if (!blind.shown) return;
  const { sides: [left, right], at } = blind.shown;
  const pair = { left: left.id, right: right.id, better, at: at ?? new Date().toISOString(), left_sha256: hashOf(left), right_sha256: hashOf(right) };
  blind.done.push({ sides: [left, right], at: pair.at });
  sayPicks({ picks: new Map(), pairs: [pair] });
  askNext();
}

/** Ask once more what was answered last; the new answer takes the place of the old one. */
function askAgain() {
  const last = blind.done.pop();
  if (last) ask(last.sides, last.at);
  blind.parts.back.disabled = !blind.done.length;
}

const BLIND_KEYS = {
  ArrowLeft: () => answer('left'), ArrowRight: () => answer('right'), '=': () => answer('same'), Backspace: askAgain,
  '+': () => zoomBy(1.25), '-': () => zoomBy(0.8), 0: () => setView(WHOLE), z: () => zoomBy(1 / shownScale()),
};

function onBlindKey(event) {
  const { key } = event;
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (key in PAN && event.shiftKey) moveBy(...PAN[key].map((way) => way * 60));
  else if (Object.hasOwn(BLIND_KEYS, key) && !event.repeat) BLIND_KEYS[key]();
  else return;
  event.preventDefault();
}

function openBlind() {
  Object.assign(blind, { jobs: chosenJobs(arrangement), done: [] });
  byId('blind').showModal();
  byId('blind').focus();
  askNext();
}

function startBlindPairs() {
  // On a page that is served, pictures are still to come.
  if (!data.picks.served && new Set(comparable(jobs).map(({ key }) => key)).size < 2) return;
  const { parts } = blind;
  const side = (wide, narrow) => [el('span', { class: 'wide' }, wide), el('span', { class: 'narrow' }, narrow)];
  parts.count = el('span', { class: 'quiet', role: 'status' });
  parts.body = el('div', { class: 'blind-body' });
  parts.back = button('Back', { class: 'plain', title: 'key Backspace: repeat the last question', onclick: askAgain });
  parts.answers = [
    el('button', { type: 'button', class: 'plain', title: 'key ←', onclick: () => answer('left') }, side('← Left', '↑ Upper')),
    button('= No difference', { class: 'plain', title: 'key =', onclick: () => answer('same') }),
    el('button', { type: 'button', class: 'plain', title: 'key →', onclick: () => answer('right') }, side('Right →', '↓ Lower')),
  ];
  byId('blind').append(
    el('header', { class: 'bar' }, el('div', { class: 'titles' }, el('h2', { id: 'blind-title' }, 'Which one is better?'), parts.count), parts.back,
      button('×', { class: 'plain', 'aria-label': 'Close', onclick: () => byId('blind').close() })),
    parts.body,
    el('div', { class: 'bar answers' }, parts.answers));
  byId('blind').addEventListener('keydown', onBlindKey);
  byId('blind').addEventListener('close', () => {
    stage.area.replaceChildren();
    byId('viewer').querySelector('.body').prepend(stage.area);
  });
  picksBar.count.after(button('Compare blind', { class: 'plain small', title: 'Which of two is better? Among the pictures shown', onclick: openBlind }));
}
