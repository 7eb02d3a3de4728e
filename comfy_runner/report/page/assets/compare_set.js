// The jobs that the reader has chosen to compare, two to four: from the cards and from the table, into the viewer.

const MOST_COMPARED = 4;

const comparison = { jobs: [], isChoosing: false, parts: {} };

function toggleCompared(job) {
  const { jobs: some } = comparison;
  if (some.includes(job)) comparison.jobs = some.filter((each) => each !== job);
  else if (some.length < MOST_COMPARED) comparison.jobs = [...some, job];
  showCompared(some.length === MOST_COMPARED && comparison.jobs === some ? `No more than ${MOST_COMPARED} can be compared. ` : '');
}

function setChoosing(isChoosing) {
  comparison.isChoosing = isChoosing;
  if (!isChoosing) comparison.jobs = [];
  showCompared();
}

/** Open what is chosen; it stays chosen, but a click on a picture opens it again. */
function openChosen() {
  comparison.isChoosing = false;
  showCompared();
  openComparison(comparison.jobs);
}

/** What tells some jobs from each other: the values in which they differ, else their names. */
function distinctNames(some) {
  const differing = dimensions.filter((each) => new Set(some.map((job) => placeOf(job, each))).size > 1);
  const names = some.map((job) => inShort(job, differing));
  return new Set(names).size === some.length ? names : some.map((job) => job.id);
}

/** Mark cards and rows, and say what is chosen. */
function showCompared(said = '') {
  const { jobs: some, isChoosing, parts } = comparison;
  for (const node of cards()) {
    const at = some.indexOf(jobOf(node));
    node.classList.toggle('is-compared', at >= 0);
    node.querySelector('.shot').dataset.number = at >= 0 ? at + 1 : '';
  }
  document.querySelectorAll('#numbers-body [data-compare]').forEach((box) => { box.checked = some.includes(jobs[Number(box.dataset.compare)]); });
  byId('choose').setAttribute('aria-pressed', isChoosing);
  parts.tray.hidden = !isChoosing && !some.length;
  parts.open.disabled = some.length < 2;
  parts.said.replaceChildren(said, some.length ? isolated(distinctNames(some).join('  ·  ')) : 'Choose two, three or four pictures to compare.');
}

function startCompareSet() {
  const { parts } = comparison;
  byId('choose').hidden = jobs.length < 2;
  byId('choose').addEventListener('click', () => setChoosing(!comparison.isChoosing));
  parts.said = el('p', { role: 'status' });
  parts.open = button('Compare', { class: 'plain', onclick: openChosen });
  parts.tray = el('div', { class: 'tray', hidden: true, role: 'region', 'aria-label': 'Chosen to compare' }, parts.said, parts.open,
    button('Clear', { class: 'plain', onclick: () => setChoosing(false) }));
  document.querySelector('main').append(parts.tray);
}
