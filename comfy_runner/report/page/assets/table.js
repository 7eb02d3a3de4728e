// The table of all jobs: their values and numbers, sortable, a page at a time, and as CSV.

const PER_PAGE = 100;

const sheet = { page: 0, heads: [] };

/** A job's value as a number; not one that is larger than JavaScript's numbers are exact, as seeds may be. */
function numberOn(axis, job) {
  const value = axis.numbers?.[job.at[axis.index]];
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}

const columns = [
  { key: 'job', name: 'job', of: (job) => job.id },
  ...axes.map((axis) => ({ key: axis.field, name: axis.name, of: (job) => numberOn(axis, job) ?? valueOf(job, axis), short: (job) => (axis.numbers ? null : axis.labels[job.at[axis.index]]), right: Boolean(axis.numbers) })),
  { key: 'state', name: 'state', of: (job) => job.state },
  ...(hasNumbers ? metrics.map((metric) => ({ key: metric.key, name: metric.name, about: metric.about, of: (job) => job.numbers?.[metric.index] ?? null, right: true, isMetric: true })) : []),
  ...(hasNumbers ? [{ key: 'faults', name: 'ruled out', of: (job) => faultWords(job) || (job.problem && `not measured: ${job.problem}`) }] : []),
  { key: 'seconds', name: 'seconds', of: (job) => job.seconds, right: true, isMetric: true },
];

const chooser = (job) => (jobs.length < 2 ? null : el('input', { type: 'checkbox', 'data-compare': job.index, 'aria-label': `Compare ${job.id}`, checked: comparison.jobs.includes(job), onchange: () => toggleCompared(job) }));

function sheetRow(job) {
  return el('tr', { 'data-job': job.index }, columns.map((column, index) => {
    const value = column.of(job);
    if (index === 0) return el('th', { scope: 'row' }, el('span', { class: 'named' }, chooser(job), el('button', { type: 'button', class: 'link', title: job.id, onclick: () => opened.by(job) }, el('span', { class: 'clipped' }, breakable(job.id)))));
    const whole = column.isMetric ? figure(value) : String(value ?? '');
    const text = column.short?.(job) ?? whole;
    return el('td', { class: [column.right && 'number', zeros.has(column) && 'is-zero'].filter(Boolean).join(' ') || null, title: whole.length > 40 || text !== whole ? whole : null }, column.right ? isolated(text) : el('div', { class: 'clipped' }, breakable(text)));
  }));
}

/** Draw the row of a job again, in its place, if it is on the page that is shown. */
const redrawRow = (job) => sheet.body.querySelector(`tr[data-job="${job.index}"]`)?.replaceWith(sheetRow(job));

/** Of a metric that is 0 wherever it was measured, one line says enough; one that was measured nowhere is not 0. */
const isZero = (column) => column.isMetric && column.name !== 'seconds' && jobs.some((job) => column.of(job) === 0) && jobs.every((job) => !column.of(job));

const zeros = new Set(columns.filter(isZero));

function drawSheet() {
  const { key, down } = arrangement.table;
  const by = columns.find((column) => column.key === key);
  const list = by ? sorted(jobs, by.of, down) : jobs;
  const pages = Math.max(1, Math.ceil(list.length / PER_PAGE));
  sheet.page = clamp(sheet.page, 0, pages - 1);
  sheet.body.replaceChildren(...list.slice(sheet.page * PER_PAGE, (sheet.page + 1) * PER_PAGE).map(sheetRow));
  sheet.heads.forEach((head, index) => {
    head.setAttribute('aria-sort', columns[index] !== by ? 'none' : down ? 'descending' : 'ascending');
  });
  sheet.pager.hidden = pages === 1;
  sheet.where.textContent = `${sheet.page * PER_PAGE + 1}–${Math.min(list.length, (sheet.page + 1) * PER_PAGE)} of ${list.length}`;
  sheet.back.disabled = sheet.page === 0;
  sheet.on.disabled = sheet.page === pages - 1;
}

function sortBy({ key }) {
  arrangement.table = { key, down: arrangement.table.key === key && !arrangement.table.down };
  sheet.page = 0;
  drawSheet();
  writeAddress();
}

function turn(by) {
  sheet.page += by;
  drawSheet();
}

/** A text that a spreadsheet takes for neither several cells nor a formula. */
function csvCell(value) {
  if (typeof value === 'number' || value === null || value === undefined) return String(value ?? '');
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv = () => [columns.map((column) => column.name), ...jobs.map((job) => columns.map((column) => column.of(job)))].map((row) => row.map(csvCell).join(',')).join('\r\n');

function download() {
  const link = el('a', { href: URL.createObjectURL(new Blob(['\ufeff', csv(), '\r\n'], { type: 'text/csv' })), download: `${data.run}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function zerosButton(table) {
  const node = button(`Show ${plural(zeros.size, 'column')} of zeros`, { class: 'plain', 'aria-pressed': 'false', title: [...zeros].map((column) => column.name).join(', '), onclick: () => {
    node.setAttribute('aria-pressed', String(!table.classList.toggle('folds')));
  } });
  return node;
}

function startTable() {
  sheet.heads = columns.map((column, index) => el('th', { scope: 'col', 'aria-sort': 'none', class: [column.right && 'number', zeros.has(column) && 'is-zero'].filter(Boolean).join(' ') || null },
    el('button', { type: 'button', class: 'sort', title: column.about || null, onclick: () => sortBy(column) }, isolated(column.name))));
  sheet.body = el('tbody');
  sheet.where = el('span', { role: 'status' });
  sheet.back = button('Earlier', { class: 'plain', onclick: () => turn(-1) });
  sheet.on = button('Later', { class: 'plain', onclick: () => turn(1) });
  sheet.pager = el('div', { class: 'pager' }, sheet.back, sheet.where, sheet.on);
  const table = el('table', { class: 'sheet folds' }, el('thead', {}, el('tr', {}, sheet.heads)), sheet.body);
  byId('numbers-body').append(
    el('div', { class: 'scroller', role: 'region', 'aria-label': 'Table of numbers', tabindex: 0 }, table),
    el('div', { class: 'under' }, sheet.pager, zeros.size ? zerosButton(table) : '', button('Download as CSV', { class: 'plain', onclick: download })),
  );
  drawSheet();
}
