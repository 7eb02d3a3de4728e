// The jobs that a search has rendered, in order: the values of its fields, and what was measured.

function searchRow({ job: id, values, detail, drift, allowed, chosen }, index) {
  const job = jobs.find((one) => one.id === id);
  return el('tr', { class: chosen ? 'is-suggested' : null },
    el('td', { class: 'number' }, String(index + 1)),
    el('th', { scope: 'row' }, job ? el('button', { type: 'button', class: 'link', onclick: () => opened.by(job) }, isolated(id)) : isolated(id)),
    values.map((value) => el('td', {}, isolated(value))),
    el('td', { class: 'number' }, figure(detail)),
    el('td', { class: 'number' }, figure(drift)),
    el('td', {}, chosen ? el('span', { class: 'tag' }, 'found') : allowed ? '' : 'ruled out'));
}

function startSearch() {
  const { search } = data;
  if (!search) return;
  byId('searched').hidden = false;
  byId('to-searched').hidden = false;
  const heads = [['', true], ['job'], ...search.fields.map((field) => [field]), ['detail', true], ['drift', true], ['']];
  byId('searched-body').append(el('div', { class: 'scroller', role: 'region', 'aria-label': 'Table of the search', tabindex: 0 },
    el('table', { class: 'sheet' },
      el('thead', {}, el('tr', {}, heads.map(([name, right]) => el('th', { scope: 'col', class: right ? 'number' : null }, isolated(name))))),
      el('tbody', {}, search.steps.map(searchRow)))));
}
