// The grid of pictures, in rows and columns or as a list, and walking through it by keyboard.

const opened = { by: () => {} }; // the viewer sets what opening a card does

/** The first of some words, and how many more there are. */
const shortList = ([first, ...others]) => `${first}${others.length ? ` +${others.length}` : ''}`;

function tagsOf(job, headed) {
  const tags = [];
  if (isSuggested(job) && !headed.includes(suggestedAxis)) tags.push(el('span', { class: 'tag good' }, 'suggested'));
  if (job.faults.length) tags.push(el('span', { class: 'tag bad', title: `Ruled out: ${faultWords(job)}` }, el('span', { class: 'out-of-sight' }, 'ruled out: '), shortList(job.faults)));
  if (job.failed.length) tags.push(el('span', { class: 'tag bad', title: job.failed.join('\n') }, 'not as expected'));
  if (job.same) tags.push(el('span', { class: 'tag', title: `The same pixels as ${job.same}` }, 'same pixels'));
  if (job.state === 'partial') tags.push(el('span', { class: 'tag bad' }, 'partial'));
  return tags;
}

const MOST_SHOWN = 64e6; // pixels of a picture that is too large to be shown among others

/** The file that a card shows: the thumbnail, or the picture itself where that would be blurred on this screen. */
function shownFile(found) {
  const long = size.range.value * Math.max(1, found.height / found.width) * devicePixelRatio;
  return sourceOf(long > data.thumbnail * 1.05 && found.width * found.height <= MOST_SHOWN ? found.url : found.thumb);
}

const sharpen = later(200, () => {
  for (const node of cards()) {
    const image = node.querySelector('img');
    const found = image && (picture(jobOf(node), arrangement.role) ?? anyPicture(jobOf(node)));
    if (found && image.getAttribute('src') !== shownFile(found)) image.src = shownFile(found);
  }
});

function shot(job) {
  const found = picture(job, arrangement.role) ?? anyPicture(job);
  if (found) {
    const { width, height } = found;
    // `loading` has to be there before `src`, or the browser fetches at once.
    return el('span', { class: 'shot' }, el('img', { loading: 'lazy', decoding: 'async', src: shownFile(found), alt: [job.id, describe(job)].filter(Boolean).join(', '), width, height }));
  }
  const early = served.shot(job);
  if (early) return early;
  const broken = Object.values(job.pictures).flat().find((each) => each.problem);
  const why = job.error || (broken ? `${broken.name}: ${broken.problem}` : '');
  return el('span', { class: 'shot without', title: why || null }, el('strong', {}, job.state), el('span', { class: 'why' }, isolated(job.why || 'no picture yet')), el('span', { class: 'out-of-sight' }, `, ${job.id}`));
}

/** How cards are drawn now; what a card is drawn again with alone. */
let drawCard = (job) => card(job, dimensions, []);

const drawn = new Map(); // the card of each job that is shown, by the job's index

/** Draw the card of a job again, in its place. */
function redraw(job) {
  const node = drawn.get(job.index);
  if (!node) return;
  const fresh = drawCard(job);
  Object.assign(fresh.dataset, node.dataset);
  fresh.tabIndex = node.tabIndex;
  const hasFocus = node === document.activeElement;
  node.replaceWith(fresh);
  drawn.set(job.index, fresh);
  if (hasFocus) fresh.focus({ preventScroll: true });
}

function card(job, differing, headed) {
  const sort = arrangement.sort.key;
  // The shortest first: of what has no room, the rest stands in the title.
  const caption = differing.length ? differing.map((each) => inShort(job, [each])).sort((a, b) => a.length - b.length).join(', ') : headed.length ? '' : job.id;
  const number = sort ? `${metrics.find((metric) => metric.key === sort).name} ${figure(numberOf(job, sort))}` : '';
  const text = [number, caption].filter(Boolean).join(' · ');
  const classes = ['card', isSuggested(job) && 'is-suggested', job.faults.length && 'is-faulty', pickOf(job).rejected && 'is-rejected'].filter(Boolean).join(' ');
  const said = picture(job, arrangement.role) ? 'true' : false; // the picture's own text says it all
  return el('button', { type: 'button', class: classes, 'data-job': job.index, tabindex: -1, 'aria-haspopup': 'dialog' },
    shot(job), pickMark(job),
    el('span', { class: 'caption' }, text ? el('span', { class: 'words', 'aria-hidden': said, title: describe(job) || null }, isolated(text)) : null, tagsOf(job, headed)));
}

function heading(some, places, scope) {
  const isChosen = suggestedIndex >= 0 && some.some((each, index) => each.first === suggestedAxis.index && places[index] === suggestedIndex);
  const values = some.map((each, index) => el('span', { class: 'head-value', title: axes[each.first].values[places[index]] ?? null }, el('span', { class: 'head-name' }, each.name), ' ', breakable(each.labels[places[index]] ?? 'none'), ' '));
  return el('th', { scope, class: isChosen ? 'is-suggested' : null }, values, isChosen ? el('span', { class: 'tag good' }, 'suggested') : null);
}

/** How many of a cell's pictures lie beside each other. */
const acrossCell = (count, across) => (across ? (count > 3 ? Math.ceil(Math.sqrt(count)) : 1) : clamp(count, 1, 6));

function drawTable(list) {
  const table = intoTable(list, arrangement);
  const { down, across } = table;
  const headed = [...down, across].filter(Boolean);
  const differing = dimensions.filter((each) => !headed.includes(each));
  const headedAxes = headed.map((each) => axes[each.first]);
  drawCard = (job) => card(job, differing, headedAxes);
  const cell = (row, column, line, place) => {
    const here = table.at(row, column);
    const width = acrossCell(here.length, across);
    const shown = here.map((job) => drawCard(job));
    shown.forEach((node, index) => {
      node.dataset.line = line * jobs.length + Math.floor(index / width);
      node.dataset.place = place * jobs.length + (index % width);
    });
    const inner = el('div', { class: 'cell' }, shown);
    inner.style.setProperty('--across', width);
    return el('td', {}, inner);
  };
  const lines = table.rows.map((row, line) => el('tr', {}, down.length ? heading(down, row, 'row') : null, table.columns.map((column, place) => cell(row, column, line, place))));
  const top = across ? el('thead', {}, el('tr', {}, down.length ? el('td', { class: 'corner' }) : null, table.columns.map((column) => heading([across], column, 'col')))) : null;
  // Lines stay level only if all captions are equally high.
  const classes = ['pictures', (differing.length || arrangement.sort.key) && 'is-stacked', list.some((job) => tagsOf(job, headedAxes).length) && 'has-tags'].filter(Boolean).join(' ');
  return el('div', { class: 'scroller', role: 'region', 'aria-label': 'Pictures by their values', tabindex: 0 }, el('table', { class: classes }, top, el('tbody', {}, lines)));
}

function drawGrid() {
  const list = chosenJobs(arrangement);
  const isTable = arrangement.rows !== NONE || arrangement.columns !== NONE;
  drawCard = (job) => card(job, dimensions, []);
  const inner = isTable ? drawTable(list) : el('div', { class: 'list' }, list.map((job) => drawCard(job)));
  byId('grid').replaceChildren(list.length ? inner : el('p', { class: 'nothing' }, 'Nothing matches. Clear the search or a filter to see pictures again.'));
  drawn.clear();
  cards().forEach((node) => drawn.set(Number(node.dataset.job), node));
  const first = byId('grid').querySelector('.card');
  if (first) first.tabIndex = 0;
  announce(list);
  showCompared();
  writeAddress();
}

function announce(list) {
  const bare = list.filter((job) => !anyPicture(job)).length;
  const all = list.length === jobs.length ? plural(countJobs(list), 'job') : `${countJobs(list)} of ${plural(countJobs(jobs), 'job')}`;
  byId('shown').textContent = `${all}: ${plural(list.length - bare, 'picture')}${bare ? `, ${bare} without one` : ''}`;
}

const cards = () => [...byId('grid').querySelectorAll('.card')];
const jobOf = (node) => jobs[Number(node.dataset.job)];

/** Where a card lies: its line, and its place in it. A table knows; in a list it is where the browser has put it. */
function spot(node) {
  if (node.dataset.line) return { node, line: Number(node.dataset.line), place: Number(node.dataset.place) };
  const { top, left } = node.getBoundingClientRect();
  return { node, line: Math.round(top), place: Math.round(left) };
}

const inOrder = (a, b) => a.line - b.line || a.place - b.place;

/** All cards, line by line. */
const spots = () => cards().map(spot).sort(inOrder);

/** The card that an arrow key leads to: the next one of the line, and then the next line; or the nearest of the line above or below. */
function neighbour(from, key) {
  const all = spots();
  const start = all.findIndex(({ node }) => node === from);
  if (key === 'Home' || key === 'End') return all.at(key === 'Home' ? 0 : -1).node;
  if (key === 'ArrowLeft' || key === 'ArrowRight') return all[start + (key === 'ArrowLeft' ? -1 : 1)]?.node ?? null;
  const here = all[start];
  const beyond = key === 'ArrowUp' ? all.slice(0, start).filter(({ line }) => line < here.line).reverse() : all.slice(start).filter(({ line }) => line > here.line);
  const line = beyond.filter((each) => each.line === beyond[0].line);
  const far = (each) => Math.abs(each.place - here.place);
  return line.reduce((best, each) => (best && far(best) <= far(each) ? best : each), null)?.node ?? null;
}

function goTo(node) {
  byId('grid').querySelectorAll('.card[tabindex="0"]').forEach((each) => { each.tabIndex = -1; });
  node.tabIndex = 0;
  node.focus();
}

function startGrid() {
  const grid = byId('grid');
  grid.addEventListener('click', (event) => {
    const node = event.target.closest('.card');
    if (!node) return;
    if (comparison.isChoosing || event.ctrlKey || event.metaKey) toggleCompared(jobOf(node));
    else opened.by(jobOf(node));
  });
  grid.addEventListener('keydown', (event) => {
    const node = event.target.closest('.card');
    if (!node || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'c') toggleCompared(jobOf(node));
    if (!/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    const next = neighbour(node, event.key);
    if (next) goTo(next);
  });
  showAspect();
}

function showAspect() {
  const found = jobs.map(upscaled).find(Boolean);
  if (found) byId('grid').style.setProperty('--aspect', `${found.width} / ${found.height}`);
}
