// The view in the page's address: how the pictures are arranged, what is filtered, which picture is open. A link to it survives a reload.

const COMPARE = { '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b, '=': (a, b) => a === b };

/** Read conditions such as `drift < 0.3, detail >= 0.1`; null where one is none. */
function conditions(text) {
  const found = text.split(',').filter((part) => part.trim()).map((part) => {
    const [, name, sign, number] = /^\s*(.+?)\s*(<=|>=|<|>|=)\s*(-?\d*\.?\d+)\s*$/.exec(part) ?? [];
    const metric = metrics.find((each) => name && (each.key === name.toLowerCase() || each.name === name.toLowerCase()));
    return metric ? { key: metric.key, holds: (value) => COMPARE[sign](value, Number(number)) } : null;
  });
  return found.includes(null) ? null : found;
}

/** An order as the address has it, `drift-`; null where nothing of the names is sorted by. */
const orderOf = (text, names) => (names.includes(text?.slice(0, -1)) ? { key: text.slice(0, -1), down: text.endsWith('-') } : null);

const dimensionName = (index) => (index === ALL ? '*' : dimensions[index]?.name ?? '-');
const dimensionOf = (name, other) => (name === '*' ? ALL : name === '-' ? NONE : dimensions.find((each) => each.name === name)?.index ?? other);

function addressOf(by, job, some) {
  const usual = usualArrangement(by);
  const said = new URLSearchParams();
  if (by.rows !== usual.rows) said.set('rows', dimensionName(by.rows));
  if (by.columns !== usual.columns) said.set('columns', dimensionName(by.columns));
  if (by.sort.key) said.set('order', by.sort.key + (by.sort.down ? '-' : '+'));
  if (by.role !== usualRole()) said.set('show', by.role);
  if (by.table.key) said.set('table', by.table.key + (by.table.down ? '-' : '+'));
  if (by.where) said.set('where', by.where);
  if (by.picks) said.set('picks', by.picks);
  if (by.hideFaulty) said.set('passing', '1');
  axes.forEach((axis) => by.hidden[axis.index].forEach((value) => said.append('without', `${axis.field}=${axis.values[value] ?? ''}`)));
  if (job) said.set('picture', job.id);
  some.forEach((each) => said.append('compare', each.id));
  return said.toString();
}

/** Take over what the address says, as far as this run has it; returns the job that is to be opened, and those that are compared. */
function readAddress(by) {
  const said = new URLSearchParams(location.hash.slice(1));
  by.sort = orderOf(said.get('order'), metrics.map((metric) => metric.key)) ?? by.sort;
  by.table = orderOf(said.get('table'), columns.map((column) => column.key)) ?? by.table;
  if (roles().includes(said.get('show'))) by.role = said.get('show');
  const usual = usualArrangement(by);
  by.rows = dimensionOf(said.get('rows'), usual.rows);
  by.columns = dimensionOf(said.get('columns'), usual.columns);
  if (by.rows === by.columns) by.rows = NONE;
  if (conditions(said.get('where') ?? '')) by.where = said.get('where') ?? '';
  by.hideFaulty = said.has('passing');
  if (Object.hasOwn(PICK_FILTERS, said.get('picks') ?? '')) by.picks = said.get('picks');
  for (const text of said.getAll('without')) {
    const axis = axes.find((each) => text.startsWith(`${each.field}=`));
    const value = axis ? text.slice(axis.field.length + 1) : '';
    if (axis) by.hidden[axis.index].add(value === '' && !axis.values.includes('') ? NONE : axis.values.indexOf(value));
  }
  const named = (id) => jobs.find((job) => job.id === id) ?? null;
  const some = [...new Set(said.getAll('compare'))].slice(0, MOST_COMPARED).map(named).filter(Boolean);
  return { job: named(said.get('picture')), some: some.length > 1 ? some : [] };
}

const writeAddress = later(50, () => {
  const said = addressOf(arrangement, byId('viewer').open ? viewer.job : null, byId('viewer').open ? viewer.compared : []);
  // Of what is not said, a link to a section of the page stays.
  if (said || location.hash.includes('=')) history.replaceState(null, '', `#${said}`);
});
