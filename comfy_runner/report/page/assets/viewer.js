// The viewer: one job held against its original or against a pinned job; buttons and keys for all that the stage can do.

const viewer = { job: null, first: null, from: null, mode: 'wipe', against: 'original', pinned: null, compared: [], smooth: true, kept: 'wipe', places: null, place: -1, parts: {} };

const shownPicture = (job, name, found) => (found ? { of: job, picture: found, name, alt: [`${name}: ${job.id}`, describe(job)].filter(Boolean).join(', ') } : null);

/** The job that others are held against instead of their originals: the pinned one, or the first of those that are compared. */
const heldAgainst = () => ({ pinned: viewer.pinned, compared: viewer.compared[0] })[viewer.against] ?? null;

/** Jobs that stand side by side: those that were chosen, else the two that are held against each other. */
const besides = () => (viewer.against === 'compared' ? viewer.compared : [heldAgainst(), viewer.job].filter((job, index, all) => job && all.indexOf(job) === index));

/** The two pictures to hold against each other; the left one may be missing. */
function pair(job) {
  const main = upscaled(job);
  const other = heldAgainst();
  if (viewer.against === 'compared') {
    const shown = comparedPictures();
    const [left, right] = [other, job].map((each) => shown.find((one) => one.of === each) ?? null);
    return { left: other === job ? null : left, right };
  }
  const right = shownPicture(job, other ? job.id : main === picture(job, 'upscaled') ? job.output : 'the only picture', main);
  if (other && other !== job) return { left: shownPicture(other, `pinned: ${other.id}`, upscaled(other)), right };
  const source = original(job);
  return { left: source && source !== main ? shownPicture(job, 'original, scaled', source) : null, right };
}

/** The pictures of all jobs that are compared, each named by what tells it from the others. */
function comparedPictures() {
  const names = distinctNames(viewer.compared);
  return viewer.compared.map((job, index) => shownPicture(job, `${index + 1}: ${names[index]}`, upscaled(job))).filter(Boolean);
}

function showJob(job) {
  viewer.job = job;
  const { parts } = viewer;
  const order = viewer.compared.length ? viewer.compared : spots().map(({ node }) => jobOf(node));
  const position = order.indexOf(job);
  parts.title.replaceChildren(isolated(job.id));
  parts.position.textContent = position < 0 ? '' : `${position + 1} of ${order.length}`;
  parts.previous.disabled = position <= 0;
  parts.next.disabled = position < 0 || position === order.length - 1;
  byId('grid').querySelectorAll('.card').forEach((node) => node.classList.toggle('is-open', jobOf(node) === job));
  showPanel(parts.about, job);
  showPick(job);
  showPictures();
}

/** Say in the panel in what the jobs differ that are looked at. */
async function showDiff() {
  const { diff } = viewer.parts;
  const some = besides();
  diff.replaceChildren();
  if (some.length < 2) return;
  const found = await jobDiff(some).catch((error) => [el('p', { class: 'quiet' }, `This browser cannot unpack the details (${error.message}).`)]);
  const now = besides();
  if (now.length === some.length && now.every((job, index) => job === some[index])) diff.replaceChildren(...found);
}

function showPictures() {
  const { left, right } = pair(viewer.job);
  const beside = picturesBeside();
  Object.assign(viewer, { places: null, place: -1 });
  const { parts } = viewer;
  const works = ([mode]) => mode === 'single' || left || (['side', 'crops'].includes(mode) && beside.length > 1);
  const usable = MODES.filter(works).map(([mode]) => mode);
  const shown = usable.includes(viewer.mode) ? viewer.mode : 'single';
  parts.modes.forEach((node) => {
    node.setAttribute('aria-pressed', node.dataset.mode === shown);
    node.disabled = !usable.includes(node.dataset.mode);
  });
  parts.pin.setAttribute('aria-pressed', viewer.pinned === viewer.job);
  parts.pin.textContent = viewer.pinned === viewer.job ? 'Unpin' : 'Pin';
  parts.against.hidden = !viewer.pinned && !viewer.compared.length;
  parts.ways.pinned.hidden = parts.ways.pinned.disabled = !viewer.pinned;
  parts.ways.compared.hidden = parts.ways.compared.disabled = !viewer.compared.length;
  parts.against.querySelector('select').value = viewer.against;
  parts.amplify.hidden = shown !== 'difference';
  parts.jump.disabled = beside.length < 2;
  parts.said.textContent = '';
  showDiff();
  if (shown === 'crops') parts.scale.textContent = '100 %';
  if (right) setStage(shown, left, right, beside, knownPlaces);
  else stage.area.replaceChildren(el('p', { class: 'nothing' }, isolated(viewer.job.error || `This job is ${viewer.job.state} and has no picture to show.`)));
}

function setMode(mode) {
  viewer.mode = viewer.kept = mode;
  memory.set('mode', mode);
  showPictures();
}

function pin() {
  viewer.pinned = viewer.pinned === viewer.job ? null : viewer.job;
  setAgainst(viewer.pinned ? 'pinned' : 'original');
}

function setAgainst(what) {
  viewer.against = what;
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
  if (picturesBeside().length < 2) return;
  const { job } = viewer;
  if (stage.area.dataset.mode === 'crops') setMode('side');
  const places = await knownPlaces();
  if (viewer.job !== job) return; // the reader has gone on
  if (!places?.length) {
    viewer.parts.said.textContent = 'No difference was found.';
    return;
  }
  viewer.place = (viewer.place + step + (viewer.place < 0 && step < 0 ? 1 : 0) + places.length) % places.length;
  goToPlace(places[viewer.place]);
  viewer.parts.said.textContent = `Difference ${viewer.place + 1} of ${places.length}`;
}

/** All pictures that can stand side by side. */
function picturesBeside() {
  if (viewer.against === 'compared') return comparedPictures();
  const { left, right } = pair(viewer.job);
  return [left, right].filter(Boolean);
}

/** The places in which what stands side by side differs most. */
async function knownPlaces() {
  const { job } = viewer;
  if (!viewer.places) {
    const signatures = await Promise.all(picturesBeside().map(async (shown) => (await details(shown.of)).signatures[shown.picture.name]));
    const found = signatures.length > 1 && signatures.every(Boolean) ? differences(...signatures) : [];
    if (viewer.job === job) viewer.places = found;
    return found;
  }
  return viewer.places;
}

function step(key) {
  if (viewer.compared.length) {
    const next = viewer.compared[viewer.compared.indexOf(viewer.job) + ({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0)];
    if (next && next !== viewer.job) showJob(next);
    return;
  }
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

function openViewer(job, some = []) {
  const dialog = byId('viewer');
  const against = some.length ? 'compared' : viewer.pinned ? 'pinned' : 'original';
  Object.assign(viewer, { first: job, from: document.activeElement, compared: some, against: viewer.against === 'original' && !some.length ? 'original' : against });
  const isOfTwo = viewer.kept !== 'side' && viewer.kept !== 'crops';
  viewer.mode = isOfTwo && (some.length > 2 || (some.length && viewer.kept === 'single')) ? 'side' : viewer.kept;
  if (!dialog.open) dialog.showModal();
  stage.view = WHOLE;
  showJob(job);
  writeAddress();
  dialog.focus(); // not a button, so that arrow keys go to the next job at once
}

/** Show two to four jobs side by side, each held against the first. */
const openComparison = (some) => openViewer(some[1], [...some]);

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
  if (MODES.some(([mode]) => mode === kept)) viewer.mode = viewer.kept = kept;
  parts.title = el('h2', { id: 'viewer-title' });
  parts.position = el('span', { class: 'quiet' });
  parts.previous = button('‹', { class: 'plain', 'aria-label': 'Previous job', onclick: () => step('ArrowLeft') });
  parts.next = button('›', { class: 'plain', 'aria-label': 'Next job', onclick: () => step('ArrowRight') });
  parts.info = button('Info', { class: 'plain', 'aria-pressed': 'true', title: 'i', onclick: togglePanel });
  parts.close = button('×', { class: 'plain', 'aria-label': 'Close', onclick: () => byId('viewer').close() });
  parts.modes = MODES.map(([mode, name, key]) => button(name, { 'data-mode': mode, title: `key ${key}`, onclick: () => setMode(mode) }));
  const against = labelled('against', [['original', 'its original'], ['pinned', 'the pinned job'], ['compared', 'the first one']], { onchange: (event) => setAgainst(event.target.value) });
  parts.against = against.label;
  parts.ways = Object.fromEntries([...against.select.options].map((option) => [option.value, option]));
  const amount = el('input', { type: 'range', min: 1, max: 16, step: 0.5, value: 4, oninput: () => stage.area.style.setProperty('--amplify', amount.value) });
  parts.amplify = el('label', { class: 'field' }, el('span', {}, 'amplify'), amount);
  stage.area.style.setProperty('--amplify', amount.value);
  parts.scale = el('output', { class: 'scale', 'aria-label': 'Scale' });
  parts.jump = button('Next difference', { class: 'plain', title: 'key n', onclick: () => jump(1) });
  parts.pin = button('Pin', { class: 'plain', title: 'key p: compare other jobs with this one', onclick: pin });
  parts.smooth = button('Pixels', { class: 'plain', title: 'key k', 'aria-pressed': 'false', onclick: () => setSmooth(!viewer.smooth) });
  parts.said = el('span', { class: 'said quiet', role: 'status' });
  parts.diff = el('div', { class: 'diff' });
  parts.about = el('div');
  parts.panel = el('aside', { class: 'panel', 'aria-label': 'About this job' }, parts.diff, parts.about);
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
