// Picking with keys and buttons: marks on the cards, stars in the viewer, and a bar with what is picked, to download and to load.

/** What is said of a job, on its card: a place that is there always, so that it can change without drawing the card anew. */
function pickMark(job) {
  const node = el('span', { class: 'pick-mark' });
  showMark(node, job);
  return node;
}

function showMark(node, job) {
  const { stars, rejected, note } = pickOf(job);
  const words = [rejected && 'rejected', stars && plural(stars, 'star'), note && `note: ${note}`, isReplaced(job) && 'judged before it was rendered again'].filter(Boolean);
  node.hidden = !words.length;
  node.title = words.join(', ');
  node.replaceChildren(
    el('span', { 'aria-hidden': 'true' }, [rejected && '✕', stars && '★'.repeat(stars), note && '✎', isReplaced(job) && '↻'].filter(Boolean).join(' ')),
    el('span', { class: 'out-of-sight' }, words.length ? `, ${words.join(', ')}` : ''));
}

function showMarks() {
  for (const node of cards()) {
    const job = jobOf(node);
    node.classList.toggle('is-rejected', pickOf(job).rejected);
    showMark(node.querySelector('.pick-mark'), job);
  }
}

/** The same key again takes it back. */
const starKey = (job, stars) => setPick(job, { stars: pickOf(job).stars === stars ? null : stars });
const rejectKey = (job) => setPick(job, { rejected: !pickOf(job).rejected });

/** What a key says of a job; null for other keys. */
function pickKey(key) {
  if (/^[1-5]$/.test(key)) return (job) => starKey(job, Number(key));
  return key === 'x' ? rejectKey : null;
}

const pickBar = { stars: [], reject: null, note: null };

/** Stars, rejecting and a note, of the job that the viewer shows. */
function viewerPicks() {
  pickBar.stars = [1, 2, 3, 4, 5].map((stars) => button('☆', { title: `key ${stars}`, 'aria-label': plural(stars, 'star'), onclick: () => starKey(viewer.job, stars) }));
  pickBar.reject = button('✕', { title: 'key x: reject', 'aria-label': 'Reject', onclick: () => rejectKey(viewer.job) });
  pickBar.note = el('input', { type: 'text', placeholder: 'note', 'aria-label': 'Note', maxlength: 10000, oninput: () => setPick(viewer.job, { note: pickBar.note.value }) });
  return [el('div', { class: 'group stars', role: 'group', 'aria-label': 'Your pick' }, pickBar.stars, pickBar.reject), pickBar.note];
}

function showPick(job) {
  const { stars, rejected, note } = pickOf(job);
  pickBar.stars.forEach((node, index) => {
    node.textContent = index < (stars ?? 0) ? '★' : '☆';
    node.setAttribute('aria-pressed', String(index + 1 === stars));
    node.disabled = !anyPicture(job);
  });
  pickBar.reject.setAttribute('aria-pressed', String(rejected));
  pickBar.reject.disabled = !anyPicture(job);
  pickBar.note.disabled = !anyPicture(job);
  if (pickBar.note.value !== note) pickBar.note.value = note;
}

function pickFilter() {
  const { select, label } = labelled('Picks', [['', 'all'], ...Object.entries(PICK_FILTERS).map(([key, [name]]) => [key, name])], {
    onchange: () => { arrangement.picks = select.value; drawGrid(); },
  });
  select.value = arrangement.picks;
  label.classList.add('short');
  return label;
}

function downloadPicks() {
  const content = JSON.stringify(writtenPicks(picking), null, 1);
  const link = el('a', { href: URL.createObjectURL(new Blob([content, '\n'], { type: 'application/json' })), download: 'picks.json' });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const MOST_PICKS = 16 << 20; // bytes, as in Python

async function loadPicks(file) {
  const { said } = picksBar;
  said.textContent = '';
  try {
    if (file.size > MOST_PICKS) throw new Error('it is larger than 16 MiB');
    const { unknown, ...found } = saidHere(readPicks(JSON.parse(await file.text())), false);
    sayPicks(found);
    said.textContent = `Loaded ${plural(found.picks.size, 'pick')} and ${plural(found.pairs.length, 'pair')}${unknown ? `; ${plural(unknown, 'of its pictures is', 'of its pictures are')} not in this run` : ''}.`;
  } catch (error) {
    said.textContent = `${file.name} cannot be loaded: ${error instanceof SyntaxError ? 'it is not JSON' : error.message}`;
  }
}

const picksBar = { count: el('span', { class: 'quiet' }), said: el('span', { role: 'status' }), problem: el('span', { class: 'tag bad', role: 'alert' }) };

function showPicksBar() {
  const known = jobs.map(pickOf);
  const parts = [
    plural(known.filter(PICK_FILTERS.mine[1]).length, 'pick'), `${known.filter(({ rejected }) => rejected).length} rejected`,
    picking.pairs.length && plural(picking.pairs.length, 'pair'), jobs.some(isReplaced) && `${jobs.filter(isReplaced).length} judged before they were rendered again`,
  ];
  picksBar.count.textContent = known.some(isSaid) || picking.pairs.length || jobs.some(isReplaced) ? parts.filter(Boolean).join(', ') : 'Pick with 1–5 stars, reject with x';
  picksBar.problem.textContent = picking.problem;
  picksBar.problem.hidden = !picking.problem;
  if (picking.problem) byId('picks-fold').open = true;
}

function startPicking() {
  const input = el('input', { type: 'file', accept: '.json,application/json', hidden: true, 'aria-label': 'picks.json', onchange: () => {
    if (input.files.length) loadPicks(input.files[0]);
    input.value = '';
  } });
  byId('picks').append(picksBar.count, button('Download picks', { title: 'as picks.json',  class: 'plain small', onclick: downloadPicks }), button('Load picks', { title: 'a picks.json; or drop one on the page',  class: 'plain small', onclick: () => input.click() }), input, picksBar.said, picksBar.problem);
  document.addEventListener('dragover', (event) => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault(); });
  document.addEventListener('drop', (event) => {
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    loadPicks(file);
  });
  byId('grid').addEventListener('keydown', (event) => {
    const node = event.target.closest('.card');
    const say = pickKey(event.key);
    if (!node || !say || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    say(jobOf(node));
  });
  for (const key of ['1', '2', '3', '4', '5', 'x']) KEY_ACTIONS[key] = () => pickKey(key)(viewer.job);
  viewer.parts.said.before(...viewerPicks());
  picking.changed.push(showMarks, showPicksBar, () => { if (viewer.job) showPick(viewer.job); });
  // Another window of the same page has said something.
  addEventListener('storage', (event) => { if (event.key === KEPT + data.picks.run) takePicks(keptPicks()); });
  showPicksBar();
  startPicks();
}
