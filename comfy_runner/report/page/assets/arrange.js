// Which jobs are shown, in which order, in which row and column: functions of values, nothing is drawn here.

const NONE = -1;

const arrangement = {
  rows: NONE,
  columns: NONE,
  hidden: axes.map(() => new Set()), // per axis, the indices of values that are filtered out
  hideFaulty: false,
  found: null, // the jobs that a search found; null where nothing is searched
  sort: { key: '', down: false },
  role: 'upscaled',
};

/** The axes that a run is first shown by: the suggestion's across, the next one down; a single axis needs no table. */
function usualArrangement() {
  if (axes.length < 2) return { rows: NONE, columns: NONE };
  const narrow = axes.filter((axis) => axis.values.length <= 24);
  const across = narrow.includes(suggestedAxis) ? suggestedAxis : narrow.reduce((best, axis) => (axis.values.length > (best?.values.length ?? 0) ? axis : best), null);
  const down = axes.filter((axis) => axis !== across).sort((a, b) => b.values.length - a.values.length)[0];
  return { rows: down && down.values.length <= 200 ? down.index : NONE, columns: across ? across.index : NONE };
}

const isShown = (job, by) =>
  axes.every((axis) => !by.hidden[axis.index].has(job.at[axis.index])) &&
  !(by.hideFaulty && job.faults.length) &&
  (by.found === null || by.found.has(job.index));

/** Sort by a function's numbers or texts; jobs without any come last, either way. */
function sorted(list, of, down) {
  const rank = (a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  const known = list.filter((job) => of(job) !== null);
  const unknown = list.filter((job) => of(job) === null);
  known.sort((a, b) => (down ? rank(of(b), of(a)) : rank(of(a), of(b))));
  return [...known, ...unknown];
}

function chosenJobs(by) {
  const list = jobs.filter((job) => isShown(job, by));
  return by.sort.key ? sorted(list, (job) => numberOf(job, by.sort.key), by.sort.down) : list;
}

/** Put jobs into rows and columns; values that no shown job has get none. */
function intoTable(list, by) {
  const places = (index) => (index === NONE ? [NONE] : [...new Set(list.map((job) => job.at[index]))].sort((a, b) => (a < 0 ? 1 : b < 0 ? -1 : a - b)));
  const [rows, columns] = [places(by.rows), places(by.columns)];
  const cells = new Map();
  for (const job of list) {
    const place = `${by.rows === NONE ? NONE : job.at[by.rows]} ${by.columns === NONE ? NONE : job.at[by.columns]}`;
    if (!cells.has(place)) cells.set(place, []);
    cells.get(place).push(job);
  }
  return { rows, columns, at: (row, column) => cells.get(`${row} ${column}`) ?? [] };
}
