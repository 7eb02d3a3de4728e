// In what some jobs differ: the fields of their recipes and their numbers in a table, prompts and other long texts word by word.
// Words are compared here rather than by a library, which would be 25 kB in every page for these few lines.

const MOST_PAIRS = 4e6; // of words that are held against each other; beyond, the texts are shown one after the other
const MOST_FIELDS = 200;
const UNTOLD = new Set(['name']); // of a recipe: it is the job's own

/** Two texts as pieces, each [text, kind] with a kind of -1 (in the first alone), 0 (in both) or 1 (in the second alone). */
function wordDiff(one, other) {
  const [a, b] = [one, other].map((text) => text.split(/(\s+|[,.;:()[\]{}|])/).filter(Boolean));
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) begin += 1;
  let end = 0;
  while (end < a.length - begin && end < b.length - begin && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const [left, right] = [a, b].map((words) => words.slice(begin, words.length - end));
  const pieces = [];
  const add = (text, kind) => {
    if (!text) return;
    if (pieces.at(-1)?.[1] === kind) pieces.at(-1)[0] += text;
    else pieces.push([text, kind]);
  };
  add(a.slice(0, begin).join(''), 0);
  commonWords(left, right, add);
  add(a.slice(a.length - end).join(''), 0);
  return pieces;
}

/** Walk along the longest common subsequence of two lists of words. */
function commonWords(left, right, add) {
  if (left.length * right.length > MOST_PAIRS) {
    add(left.join(''), -1);
    add(right.join(''), 1);
    return;
  }
  const width = right.length + 1;
  const longest = new Uint32Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = left[i] === right[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      add(left[i], 0);
      i += 1;
      j += 1;
    } else if (j === right.length || (i < left.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      add(left[i], -1);
      i += 1;
    } else {
      add(right[j], 1);
      j += 1;
    }
  }
}

/** All that is known of a job's making, as texts by dotted field. */
function fieldsOf(job, known) {
  const fields = new Map();
  const walk = (value, name) => {
    if (value && typeof value === 'object') Object.entries(value).forEach(([key, inner]) => walk(inner, name ? `${name}.${key}` : key));
    else if (!UNTOLD.has(name)) fields.set(name, String(value ?? ''));
  };
  // The text of a number stands for it where the browser gives it, for seeds are larger than JavaScript's numbers.
  if (known.recipe) walk(JSON.parse(known.recipe, (_, value, context) => (typeof value === 'number' ? context?.source ?? value : value)), '');
  axes.forEach((axis) => fields.set(axis.field, valueOf(job, axis)));
  for (const name of ['server', 'template']) if (known[name]) fields.set(name, known[name]);
  return fields;
}

const isProse = (text) => text.split(/\s+/, 5).length > 4;

function wordsThatDiffer(name, texts, names) {
  return [el('h3', {}, isolated(name)), texts.slice(1).map((text, index) => (text === texts[0] ? null : el('p', { class: 'prompt worded', tabindex: 0, dir: 'auto' },
    texts.length > 2 ? el('span', { class: 'quiet' }, isolated(names[index + 1]), ': ') : null,
    wordDiff(texts[0], text).map(([piece, kind]) => (kind ? el(kind < 0 ? 'del' : 'ins', {}, piece) : piece)))))];
}

function rowsThatDiffer(rows, names) {
  if (!rows.length) return null;
  const more = rows.length - MOST_FIELDS;
  return [el('div', { class: 'scroller' }, el('table', { class: 'differing-values' },
    el('thead', {}, el('tr', {}, el('td'), names.map((name, index) => el('th', { scope: 'col', title: name }, `${index + 1} `, names.length > 2 ? null : isolated(name))))),
    el('tbody', {}, rows.slice(0, MOST_FIELDS).map(([name, texts]) => el('tr', {}, el('th', { scope: 'row' }, breakable(name)), texts.map((text) => el('td', {}, breakable(text)))))))),
  more > 0 ? el('p', { class: 'quiet' }, `and ${plural(more, 'field')} more`) : null];
}

/** In what jobs differ, the first of them being what the others are held against. */
async function jobDiff(some) {
  const known = await Promise.all(some.map(details));
  const all = some.map((job, index) => fieldsOf(job, known[index]));
  const fields = [...new Set(all.flatMap((each) => [...each.keys()]))];
  const differing = fields.map((field) => [axes.find((axis) => axis.field === field)?.name ?? field, all.map((each) => each.get(field) ?? '')]).filter(([, texts]) => new Set(texts).size > 1);
  const measured = some.every((job) => job.numbers) ? metrics.map((metric) => [metric.name, some.map((job) => figure(numberOf(job, metric.key)))]) : [];
  const names = distinctNames(some);
  const rows = [...differing.filter(([, texts]) => !texts.some(isProse)), ...measured.filter(([, texts]) => new Set(texts).size > 1)];
  const found = [rowsThatDiffer(rows, names), differing.filter(([, texts]) => texts.some(isProse)).map(([name, texts]) => wordsThatDiffer(name, texts, names))].flat(3).filter(Boolean);
  const without = known.some((each) => each.problem) ? el('p', { class: 'quiet' }, 'For a job without a record, only its values are known.') : null;
  return [el('h3', {}, 'What differs'), ...(found.length ? found : [el('p', { class: 'quiet' }, 'Nothing recorded.')]), without].filter(Boolean);
}
