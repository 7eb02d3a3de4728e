// Which jobs are shown, in which order, in which row and column: functions of values, nothing is drawn here.

const NONE = -1;
const ALL = -2; // of the rows: every combination of what the columns are not

const arrangement = {
  rows: NONE,
  columns: NONE,
  hidden: axes.map(() => new Set()), // per axis, the indices of values that are filtered out
  hideFaulty: false,
  picks: '', // which of the reader's picks, by the key of a filter
  where: '', // conditions on numbers, as they were written
  found: null, // the jobs that a search found; null where nothing is searched
  sort: { key: '', down: false },
  table: { key: '', down: false }, // by which column the table of numbers is sorted
  role: 'upscaled',
};

/** The layout that a run is first shown in, as it was decided when the page was made; in an order, a gallery. */
function usualArrangement(by) {
  const { rows, columns } = by.sort.key ? { rows: [], columns: null } : data.layout;
  return { rows: rows.length > 1 ? ALL : rows[0] ?? NONE, columns: columns ?? NONE };
}

const columnDimension = (by) => dimensions[by.columns] ?? null;
const rowDimensions = (by) => (by.rows === ALL ? dimensions.filter((each) => each.index !== by.columns) : [dimensions[by.rows]].filter(Boolean));

const isShown = (job, by, asked) =>
  axes.every((axis) => !by.hidden[axis.index].has(job.at[axis.index])) &&
  !(by.hideFaulty && job.faults.length) &&
  passesPicks(job, by.picks) &&
  asked.every(({ key, holds }) => numberOf(job, key) !== null && holds(numberOf(job, key))) &&
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
  const asked = conditions(by.where) ?? [];
  const list = jobs.filter((job) => isShown(job, by, asked));
  return by.sort.key ? sorted(list, (job) => numberOf(job, by.sort.key), by.sort.down) : list;
}

/** Put jobs into rows and columns, each known by its places along its dimensions; combinations that no shown job has get none. */
function intoTable(list, by) {
  const [down, across] = [rowDimensions(by), columnDimension(by)];
  const order = (a, b) => a.reduce((found, place, index) => found || (place < 0) - (b[index] < 0) || place - b[index], 0);
  const lines = (some) => [...new Map(list.map((job) => some.map((each) => placeOf(job, each))).map((places) => [places.join(' '), places])).values()].sort(order);
  const [rows, columns] = [lines(down), lines(across ? [across] : [])];
  const cells = new Map();
  for (const job of list) {
    const place = [...down, across].filter(Boolean).map((each) => placeOf(job, each)).join(' ');
    if (!cells.has(place)) cells.set(place, []);
    cells.get(place).push(job);
  }
  return { down, across, rows, columns, at: (row, column) => cells.get([...row, ...column].join(' ')) ?? [] };
}
