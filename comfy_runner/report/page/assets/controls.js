// The controls above the grid: rows, columns, order, size, search, filters.

function dimensionSelect(name, which) {
  const { select, label } = labelled(name, [[NONE, 'none'], ...(which === 'rows' && dimensions.length > 2 ? [[ALL, 'all others']] : []), ...dimensions.map((each) => [each.index, each.name])], {
    onchange: () => {
      arrangement[which] = Number(select.value);
      const other = which === 'rows' ? 'columns' : 'rows';
      // A dimension cannot lie both ways; choosing it here takes it from there.
      if (arrangement[which] === arrangement[other]) arrangement[other] = NONE;
      arranged();
    },
  });
  arrangedBy[which] = select;
  return label;
}

const arrangedBy = {};

const size = { range: null, isChosen: false };

function setSize(pixels) {
  size.range.value = pixels;
  byId('grid').style.setProperty('--size', `${size.range.value}px`);
  sharpen();
}

const LARGEST = 320; // pixels of a picture whose size nobody has chosen

/** Until the reader chooses a size, all columns are made to fit if the pictures do not get too small. */
function usualSize() {
  const isSmall = matchMedia('(max-width: 600px)').matches;
  const across = arrangement.columns === NONE ? 1 : dimensions[arrangement.columns].labels.length;
  const headings = arrangement.rows === NONE ? 4 : 196;
  const fitting = Math.floor((byId('grid').clientWidth - headings) / across) - 13;
  if (arrangement.columns === NONE || fitting < 104) return isSmall ? 152 : 208;
  return Math.min(fitting, LARGEST);
}

function arranged() {
  if (!size.isChosen) setSize(usualSize());
  for (const [which, select] of Object.entries(arrangedBy)) select.value = String(arrangement[which]);
  drawGrid();
}

function sortSelect() {
  const ways = metrics.flatMap((metric) => [[`${metric.key}+`, `${metric.name} ↑`], [`${metric.key}-`, `${metric.name} ↓`]]);
  const { select, label } = labelled('Order', [['', 'as planned'], ...ways], {
    onchange: () => {
      arrangement.sort = { key: select.value.slice(0, -1), down: select.value.endsWith('-') };
      // An order is seen in a gallery; in a table it holds for each cell, for those who choose rows and columns after it.
      Object.assign(arrangement, usualArrangement(arrangement));
      arranged();
    },
  });
  const { key, down } = arrangement.sort;
  if (key) select.value = key + (down ? '-' : '+');
  return label;
}

function roleSelect() {
  if (roles().length < 2) return null;
  const { select, label } = labelled('Show', roles().map((role) => [role, role]), {
    onchange: () => {
      arrangement.role = select.value;
      drawGrid();
    },
  });
  select.value = arrangement.role;
  return label;
}

function sizeSlider() {
  const range = el('input', { type: 'range', min: 96, max: 480, step: 4, oninput: () => {
    size.isChosen = true;
    setSize(range.value);
  } });
  size.range = range;
  return el('label', { class: 'field' }, el('span', {}, 'Size'), range);
}

function searchField() {
  const field = el('input', { type: 'search', placeholder: 'job or prompt', oninput: later(150, () => search(field.value)) });
  return el('label', { class: 'field grow' }, el('span', {}, 'Search'), field);
}

function conditionField() {
  const field = el('input', { type: 'search', placeholder: 'drift < 0.3', value: arrangement.where, title: metrics.map((metric) => metric.name).join(', '), oninput: later(150, () => {
    const isRight = conditions(field.value) !== null;
    field.setAttribute('aria-invalid', String(!isRight));
    if (!isRight) return;
    arrangement.where = field.value.trim();
    drawGrid();
  }) });
  return el('label', { class: 'field short' }, el('span', {}, 'Where'), field);
}

async function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const where = words.length ? await searchable() : [];
  arrangement.found = words.length ? new Set(jobs.filter((job) => words.every((word) => where[job.index].includes(word))).map((job) => job.index)) : null;
  drawGrid();
}

function axisFilter(axis, changed) {
  const present = new Set(jobs.map((job) => job.at[axis.index]));
  const boxes = [...axis.values.keys(), NONE].filter((value) => present.has(value)).map((value) => {
    const { box, label } = check(value === NONE ? 'none' : axis.labels[value], {
      checked: !arrangement.hidden[axis.index].has(value),
      onchange: () => {
        arrangement.hidden[axis.index][box.checked ? 'delete' : 'add'](value);
        changed();
      },
    });
    return { box, label };
  });
  const setAll = (on) => {
    boxes.forEach(({ box }) => { if (box.checked !== on) { box.checked = on; box.dispatchEvent(new Event('change')); } });
  };
  return el('fieldset', {}, el('legend', {}, isolated(axis.name)), el('div', { class: 'chips' }, boxes.map(({ label }) => label),
    boxes.length > 2 ? [button('all', { class: 'plain small', 'aria-label': `All values of ${axis.name}`, onclick: () => setAll(true) }), button('none', { class: 'plain small', 'aria-label': `No value of ${axis.name}`, onclick: () => setAll(false) })] : null));
}

function filters() {
  const summary = el('summary', {}, 'Filters');
  const draw = later(0, drawGrid);
  const changed = () => {
    const count = arrangement.hidden.reduce((sum, values) => sum + values.size, 0);
    summary.textContent = count ? `Filters (${plural(count, 'value')} hidden)` : 'Filters';
    draw();
  };
  return axes.length ? el('details', { class: 'filters' }, summary, axes.map((axis) => axisFilter(axis, changed))) : null;
}

function faultBox() {
  if (!jobs.some((job) => job.faults.length)) return null;
  const { box, label } = check('Hide what is ruled out', { checked: arrangement.hideFaulty, onchange: () => { arrangement.hideFaulty = box.checked; drawGrid(); } });
  return label;
}

function startControls() {
  arrangement.role = usualRole();
  Object.assign(arrangement, usualArrangement(arrangement));
  const linked = readAddress(arrangement);
  byId('controls').append(...[
    axes.length ? dimensionSelect('Rows', 'rows') : null, axes.length ? dimensionSelect('Columns', 'columns') : null,
    hasNumbers ? sortSelect() : null, roleSelect(), sizeSlider(), jobs.length > 1 ? searchField() : null, hasNumbers && jobs.length > 1 ? conditionField() : null, faultBox(), jobs.length > 1 ? pickFilter() : null, filters(),
  ].filter(Boolean));
  const small = matchMedia('(max-width: 600px)');
  const fold = () => { for (const name of ['arrange', 'picks-fold']) byId(name).open = !small.matches; };
  small.addEventListener('change', fold);
  fold();
  arranged();
  return linked;
}
