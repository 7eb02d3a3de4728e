// What is known of the job that the viewer shows, in words and numbers.

const term = (name, ...value) => [el('dt', {}, name), el('dd', {}, ...value)];

function list(...entries) {
  return el('dl', {}, entries.filter(Boolean).flat());
}

function fold(title, text, what) {
  if (!text) return null;
  return el('details', { class: 'fold' }, el('summary', {}, title), copyButton(what, text), el('pre', { tabindex: 0 }, text));
}

function verdict(job) {
  const lines = [];
  if (isSuggested(job)) lines.push(el('p', { class: 'tag good' }, 'has the suggested value'));
  if (job.faults.length) lines.push(el('p', { class: 'tag bad' }, `ruled out: ${faultWords(job)}`));
  for (const what of job.failed) lines.push(el('p', { class: 'tag bad' }, 'not as expected: ', isolated(what)));
  if (job.same) lines.push(el('p', { class: 'quiet' }, 'The same pixels as ', isolated(job.same)));
  if (job.close) lines.push(el('p', { class: 'quiet' }, 'Can hardly be distinguished from ', isolated(job.close)));
  if (job.shares) lines.push(el('p', { class: 'quiet' }, 'Shares the pictures of ', isolated(job.shares)));
  if (job.error) lines.push(el('p', { class: 'tag bad' }, isolated(job.error)));
  if (job.problem) lines.push(el('p', { class: 'quiet' }, 'Not measured: ', isolated(job.problem)));
  return lines;
}

function numbersOf(job) {
  if (!job.numbers) return null;
  return [el('h3', {}, 'Numbers'), el('table', { class: 'figures' }, el('tbody', {}, metrics.map((metric) =>
    el('tr', { title: metric.about }, el('th', { scope: 'row' }, isolated(metric.name)), el('td', {}, figure(job.numbers[metric.index]))))))];
}

/** A link to a file; of a page that stands alone it saves the file, if that is in the page as it was. */
function fileLink({ url, name }, text) {
  if (!alone) return el('a', { href: url, target: '_blank', rel: 'noopener' }, isolated(text));
  return data.embedded || !url ? isolated(text) : el('a', { href: sourceOf(url), download: name.split('/').at(-1) }, isolated(text));
}

function filesOf(job) {
  const links = Object.entries(job.pictures).flatMap(([role, pictures]) => pictures.map((each) => el('li', {},
    fileLink(each, role === 'upscaled' ? job.output : role), el('span', { class: 'quiet' }, each.width ? ` ${each.width} × ${each.height}` : ` ${each.problem}`),
    el('span', { class: 'quiet path' }, isolated(each.name)))));
  return links.length ? [el('h3', {}, alone ? 'Files in the run folder' : 'Full-size files'), el('ul', { class: 'files' }, links), data.embedded ? el('p', { class: 'quiet' }, `In this page: ${data.embedded}`) : null] : null;
}

function commandOf(job) {
  return [el('h3', {}, 'Make it again'), el('div', { class: 'command' }, el('code', { tabindex: 0 }, job.again), copyButton('the command', job.again))];
}

function said(title, texts) {
  return texts?.length ? [el('h3', {}, title), el('ul', {}, texts.map((text) => el('li', {}, isolated(text))))] : null;
}

/** What the sidecar says, once it is unpacked. */
function recorded(job, known) {
  const place = list(
    known.seed && term('seed', known.seed),
    job.seconds !== null && term('time on the server', `${figure(job.seconds)} s`),
    job.finished && term('finished', moment(job.finished)),
    known.server && term('server', isolated(known.server)),
    known.template && term('template', isolated(known.template)),
    known.cached?.length && term('from the cache', isolated(known.cached.join(', '))),
  );
  return [
    known.prompt ? [el('h3', {}, 'Prompt'), el('p', { class: 'prompt', tabindex: 0, dir: 'auto' }, known.prompt)] : null,
    known.negative ? [el('h3', {}, 'Negative prompt'), el('p', { class: 'prompt', tabindex: 0, dir: 'auto' }, known.negative)] : null,
    el('h3', {}, 'Record'), place,
    known.problem ? el('p', { class: 'quiet' }, isolated(known.problem)) : null,
    said('Notes', known.notes), said('Earlier failed attempts', known.attempts),
    fold('Full recipe', known.recipe, 'the recipe'), fold('Workflow graph', known.workflow, 'the workflow'),
  ].flat();
}

/** Fill the panel; what is packed follows when it is there. */
async function showPanel(panel, job) {
  const rest = el('div', {});
  panel.replaceChildren(...[
    verdict(job),
    axes.length ? list(...axes.map((axis) => term(axis.name, isolated(valueOf(job, axis))))) : null,
    numbersOf(job), filesOf(job), commandOf(job), rest, keysHelp(),
  ].flat().filter(Boolean));
  panel.parentNode.scrollTop = 0;
  try {
    rest.replaceChildren(...recorded(job, await details(job)).filter(Boolean));
  } catch (error) {
    rest.replaceChildren(el('p', { class: 'quiet' }, `This browser cannot unpack the details (${error.message}).`));
  }
}

const KEYS = [
  ['← → ↑ ↓', 'the neighbours in the grid'], ['w s d c u', 'wipe, side by side, difference, crops, only this'], [', .', 'move the wipe'],
  ['+ − 0 z', 'larger, smaller, whole, 100 %'], ['Shift + arrows', 'move the picture'], ['n N', 'next and previous place that differs most'],
  ['p', 'pin, to compare others with it'], ['k', 'smooth or pixels'], ['1–5 x', 'stars, reject; again: takes it back'], ['i', 'this panel'], ['Esc', 'close'],
];

const keysHelp = () => el('details', { class: 'fold' }, el('summary', {}, 'Keys'), el('table', { class: 'keys' }, el('tbody', {}, KEYS.map(([key, what]) => el('tr', {}, el('th', { scope: 'row' }, el('kbd', {}, key)), el('td', {}, what))))));
