// Which two pictures are compared next, and when their order is clear: functions of values, nothing is drawn here.
//
// What is ordered are the values along the axes in which pictures of one original differ, such as denoise, over all originals. Their
// strengths are those of Bradley and Terry 1952, found by Hunter's rule (2004, MM algorithms), each held by one comparison with a
// strength of 1 that is half won. That is enough to choose what to ask; `comfy-runner suggest` fits anew, with a library.

const SURE = 1.28; // standard deviations of a difference beyond which 9 of 10 are on that side
const ALIKE = 0.8; // and of one that is known this well, nine tenths lie within odds of 3 to 1 of no difference at all

/** The pictures that can be compared, with the key of their values: those of which others have the same original. */
function comparable(list) {
  const some = list.filter((job) => Number.isInteger(job.original) && picture(job, 'upscaled') && !job.same && !pickOf(job).rejected);
  const first = new Map();
  some.forEach((job) => { if (!first.has(job.original)) first.set(job.original, job); });
  const varying = axes.filter((axis) => some.some((job) => job.at[axis.index] !== first.get(job.original).at[axis.index]));
  return some.map((job) => ({ job, key: varying.map((axis) => job.at[axis.index]).join(' '), label: describe(job, varying) }));
}

/** What the pairs say of values: by key, their strength, how much is known of it, how often they were better, and of how many. */
function strengthsOf(shown, pairs) {
  const keyOf = new Map(shown.map(({ job, key }) => [job.id, key]));
  const values = new Map(shown.map(({ key, label }) => [key, { key, label, strength: 1, better: 0, of: 0, met: new Map() }]));
  for (const { left, right, better } of pairs) {
    const [one, other] = [values.get(keyOf.get(left)), values.get(keyOf.get(right))];
    if (!one || !other || one === other) continue;
    for (const [each, against, side] of [[one, other, 'left'], [other, one, 'right']]) {
      each.better += better === 'same' ? 0.5 : Number(better === side);
      each.of += 1;
      each.met.set(against, (each.met.get(against) ?? 0) + 1);
    }
  }
  const all = [...values.values()];
  for (let turn = 0; turn < 60; turn += 1) {
    for (const each of all) {
      const met = [...each.met].reduce((sum, [other, count]) => sum + count / (each.strength + other.strength), 1 / (each.strength + 1));
      each.strength = (each.better + 0.5) / met;
    }
  }
  const told = (a, b) => (a * b) / (a + b) ** 2;
  for (const each of all) each.information = [...each.met].reduce((sum, [other, count]) => sum + count * told(each.strength, other.strength), told(each.strength, 1));
  return values;
}

const spreadOf = (one, other) => Math.sqrt(1 / one.information + 1 / other.information);

/** Whether it is not known which of two values is better, nor that they are about as good. */
function isUnclear(one, other) {
  const spread = spreadOf(one, other);
  return Math.abs(Math.log(one.strength / other.strength)) < SURE * spread && spread > ALIKE;
}

/**
 * The two pictures to ask about next: of those values whose order is least clear, of the original that was asked about least often.
 * @returns {{next: ?Array, clear: number, all: number, order: Array}} `next` is null where every order is clear.
 */
function nextPair(list, pairs, random = Math.random) {
  const shown = comparable(list);
  const values = strengthsOf(shown, pairs);
  const asked = new Map();
  for (const { left, right } of pairs) for (const each of [`${left}\n${right}`, `${right}\n${left}`]) asked.set(each, (asked.get(each) ?? 0) + 1);
  const orders = new Map(); // by the keys of two values
  const byOriginal = Map.groupBy ? Map.groupBy(shown, ({ job }) => job.original) : shown.reduce((found, each) => found.set(each.job.original, [...(found.get(each.job.original) ?? []), each]), new Map());
  for (const some of byOriginal.values()) {
    some.forEach((one, index) => some.slice(index + 1).forEach((other) => {
      if (one.key === other.key) return;
      const keys = [one.key, other.key].sort();
      const name = keys.join('\n');
      if (!orders.has(name)) {
        const [a, b] = keys.map((key) => values.get(key));
        const chance = a.strength / (a.strength + b.strength);
        orders.set(name, { worth: isUnclear(a, b) ? chance * (1 - chance) * spreadOf(a, b) ** 2 : 0, best: null });
      }
      const order = orders.get(name);
      const rank = (asked.get(`${one.job.id}\n${other.job.id}`) ?? 0) + random();
      if (!order.best || rank < order.best.rank) order.best = { rank, jobs: [one.job, other.job] };
    }));
  }
  const open = [...orders.values()].filter(({ worth }) => worth > 0);
  const worth = Math.max(...open.map((each) => each.worth));
  const best = open.filter((each) => each.worth > worth * 0.999);
  return {
    next: best.length ? best[Math.floor(random() * best.length)].best.jobs : null,
    clear: orders.size - open.length, all: orders.size,
    order: [...values.values()].filter(({ of }) => of).sort((a, b) => b.strength - a.strength),
  };
}
