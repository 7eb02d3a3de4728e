// The viewer: one job held against its original or against a pinned job; buttons and keys for all that the stage can do.

const viewer = { job: null, first: null, from: null, mode: 'wipe', against: 'original', pinned: null, smooth: true, places: null, place: -1, parts: {} };

const shownPicture = (job, name, found) => (found ? { picture: found, name, alt: [`${name}: ${job.id}`, describe(job)].filter(Boolean).join(', ') } : null);

/** The two pictures to hold against each other; the left one may be missing. */
function pair(job) {
  const main = upscaled(job);
  const other = viewer.against === 'pinned' ? viewer.pinned : null;
  const right = shownPicture(job, other ? job.id : main === picture(job, 'upscaled') ? job.output : 'the only picture', main);
  if (other && other !== job) return { left: shownPicture(other, `pinned: ${other.id}`, upscaled(other)), right };
  const source = original(job);
  return { left: source && source !== main ? shownPicture(job, 'original, scaled', source) : null, right };
}

function showJob(job) {
  viewer.job = job;
  const { parts } = viewer;
  const order = spots().map(({ node }) => jobOf(node));
  const position = order.indexOf(job);
  parts.title.replaceChildren(isolated(job.id));
  parts.position.textContent = position < 0 ? '' : `${position + 1} of ${order.length}`;
  parts.previous.disabled = position <= 0;
  parts.next.disabled = position < 0 || position === order.length - 1;
  byId('grid').querySelectorAll('.card').forEach((node) => node.classList.toggle('is-open', jobOf(node) === job));
  showPanel(parts.panel, job);
  showPick(job);
  showPictures();
}

function showPictures() {
  const { left, right } = pair(viewer.job);
  Object.assign(viewer, { places: null, place: -1 });
  const { parts } = viewer;
  parts.modes.forEach((node) => {
    node.setAttribute('aria-pressed', node.dataset.mode === (left ? viewer.mode : 'single'));
    node.disabled = !left && node.dataset.mode !== 'single';
  });
  parts.pin.setAttribute('aria-pressed', viewer.pinned === viewer.job);
  parts.pin.textContent = viewer.pinned === viewer.job ? 'Unpin' : 'Pin';
  parts.against.hidden = !viewer.pinned;
  parts.amplify.hidden = viewer.mode !== 'difference' || !left;
  parts.jump.disabled = !left;
  parts.said.textContent = '';
  if (right) setStage(viewer.mode, left, right);
  else stage.area.replaceChildren(el('p', { class: 'nothing' }, isolated(viewer.job.error || `This job is ${viewer.job.state} and has no picture that can be shown.`)));
}

function setMode(mode) {
  viewer.mode = mode;
  memory.set('mode', mode);
  showPictures();
}

function pin() {
  viewer.pinned = viewer.pinned === viewer.job ? null : viewer.job;
  setAgainst(viewer.pinned ? 'pinned' : 'original');
}

function setAgainst(what) {
  viewer.against = what;
  viewer.parts.against.querySelector('select').value = what;
  showPictures();
  if (viewer.pinned === viewer.job) viewer.parts.said.textContent = 'Pinned. Other jobs are now compared with it.';
}

function setSmooth(smooth) {
  viewer.smooth = smooth;
  stage.area.classList.toggle('is-pixelated', !smooth);
  viewer.parts.smooth.setAttribute('aria-pressed', !smooth);
}

/** Go to the next place in which the two pictures differ most; `step` is 1 or -1. */
async function jump(step) {
  const { left, right } = pair(viewer.job);
  if (!left || !right) return;
  const { job } = viewer;
  const found = viewer.places ?? await placesOf(left, right);
  if (viewer.job !== job) return; // the reader has gone on
  viewer.places = found;
  const { places } = viewer;
  if (!places?.length) {
    viewer.parts.said.textContent = 'No difference was found.';
    return;
  }
  viewer.place = (viewer.place + step + (viewer.place < 0 && step < 0 ? 1 : 0) + places.length) % places.length;
  goToPlace(places[viewer.place]);
  viewer.parts.said.textContent = `Difference ${viewer.place + 1} of ${places.length}`;
}

async function placesOf(left, right) {
  const other = viewer.against === 'pinned' && viewer.pinned ? viewer.pinned : viewer.job;
  const [one, two] = [(await details(viewer.job)).signatures[right.picture.name], (await details(other)).signatures[left.picture.name]];
  return one && two ? differences(one, two) : [];
}

function step(key) {
  const from = cards().find((node) => jobOf(node) === viewer.job);
  const next = from && neighbour(from, key);
  if (next) showJob(jobOf(next));
}

const PAN = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const KEY_ACTIONS = {
  ',': () => moveWipe(-2), '.': () => moveWipe(2),
  '+': () => zoomBy(1.25), '=': () => zoomBy(1.25), '-': () => zoomBy(0.8), '−': () => zoomBy(0.8),
  0: () => setView(WHOLE), z: () => zoomBy(1 / shownScale()),
  n: () => jump(1), N: () => jump(-1), p: pin, k: () => setSmooth(!viewer.smooth), i: () => togglePanel(),
  ...Object.fromEntries(MODES.map(([mode, , key]) => [key, () => setMode(mode)])),
};

function onKey(event) {
  const { key, target } = event;
  if (event.altKey || event.ctrlKey || event.metaKey || target.closest('select, textarea, input, pre')) return;
  const isArrow = key in PAN;
  const onSlider = target === stage.slider && !stage.slider.dataset.by;
  if (isArrow && event.shiftKey) moveBy(...PAN[key].map((way) => way * 60));
  else if (isArrow && onSlider) moveWipe({ ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2 }[key]);
  else if (isArrow && !target.closest('.panel')) step(key);
  else if (KEY_ACTIONS[key]) KEY_ACTIONS[key]();
  else return;
  event.preventDefault();
}

function togglePanel() {
  const isHidden = byId('viewer').classList.toggle('is-bare');
  viewer.parts.info.setAttribute('aria-pressed', !isHidden);
}

function openViewer(job) {
  const dialog = byId('viewer');
  Object.assign(viewer, { first: job, from: document.activeElement });
  if (!dialog.open) dialog.showModal();
  stage.view = WHOLE;
  showJob(job);
  writeAddress();
  dialog.focus(); // not a button, so that arrow keys go to the next job at once
}

/** The browser gives focus back to where it was; after walking on, it goes to the card of the job that was shown last. */
function onClose() {
  const node = cards().find((each) => jobOf(each) === viewer.job);
  stage.area.replaceChildren();
  writeAddress();
  if (node && (viewer.job !== viewer.first || viewer.from === document.body)) goTo(node);
}

function startViewer() {
  const { parts } = viewer;
  const kept = memory.get('mode');
  if (MODES.some(([mode]) => mode === kept)) viewer.mode = kept;
  parts.title = el('h2', { id: 'viewer-title' });
  parts.position = el('span', { class: 'quiet' });
  parts.previous = button('‹', { class: 'plain', 'aria-label': 'Previous job', onclick: () => step('ArrowLeft') });
  parts.next = button('›', { class: 'plain', 'aria-label': 'Next job', onclick: () => step('ArrowRight') });
  parts.info = button('Info', { class: 'plain', 'aria-pressed': 'true', title: 'i', onclick: togglePanel });
  parts.close = button('×', { class: 'plain', 'aria-label': 'Close', onclick: () => byId('viewer').close() });
  parts.modes = MODES.map(([mode, name, key]) => button(name, { 'data-mode': mode, title: `key ${key}`, onclick: () => setMode(mode) }));
  const against = labelled('against', [['original', 'its original'], ['pinned', 'the pinned job']], { onchange: (event) => setAgainst(event.target.value) });
  parts.against = against.label;
  const amount = el('input', { type: 'range', min: 1, max: 16, step: 0.5, value: 4, oninput: () => stage.area.style.setProperty('--amplify', amount.value) });
  parts.amplify = el('label', { class: 'field' }, el('span', {}, 'amplify'), amount);
  stage.area.style.setProperty('--amplify', amount.value);
  parts.scale = el('output', { class: 'scale', 'aria-label': 'Scale' });
  parts.jump = button('Next difference', { class: 'plain', title: 'key n', onclick: () => jump(1) });
  parts.pin = button('Pin', { class: 'plain', title: 'key p: compare other jobs with this one', onclick: pin });
  parts.smooth = button('Pixels', { class: 'plain', title: 'key k', 'aria-pressed': 'false', onclick: () => setSmooth(!viewer.smooth) });
  parts.said = el('span', { class: 'said quiet', role: 'status' });
  parts.panel = el('aside', { class: 'panel', 'aria-label': 'About this job' });
  stage.onview = () => { parts.scale.textContent = `${Math.round(shownScale() * 100)} %`; };
  byId('viewer').tabIndex = -1;
  byId('viewer').append(
    el('header', { class: 'bar' }, parts.previous, parts.next, el('div', { class: 'titles' }, parts.title, parts.position), parts.info, parts.close),
    el('div', { class: 'bar tools' },
      el('div', { class: 'group', role: 'group', 'aria-label': 'View' }, parts.modes), parts.amplify, parts.against, parts.pin, parts.jump,
      el('div', { class: 'group', role: 'group', 'aria-label': 'Zoom' },
        button('−', { 'aria-label': 'Smaller', onclick: () => zoomBy(0.8) }), parts.scale, button('+', { 'aria-label': 'Larger', onclick: () => zoomBy(1.25) }),
        button('Fit', { title: 'key 0', onclick: () => setView(WHOLE) }), button('100 %', { title: 'key z', onclick: () => zoomBy(1 / shownScale()) })),
      parts.smooth, parts.said),
    el('div', { class: 'body' }, stage.area, parts.panel),
  );
  byId('viewer').addEventListener('keydown', onKey);
  byId('viewer').addEventListener('close', onClose);
  opened.by = openViewer;
  startStage();
}
