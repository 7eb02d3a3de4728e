// What the reader says of the pictures: stars, rejected ones, notes and pairs compared blind, as picks.json has them (docs/choosing.md).

const noPicks = () => ({ picks: new Map(), pairs: [] });

/** Read what a picks.json says; what is wrong in it is an error with a sentence. */
function readPicks(found) {
  const isText = (value, most) => typeof value === 'string' && value.length <= most;
  const isOr = (value, holds) => value === null || value === undefined || holds(value);
  const isMoment = (value) => isText(value, 100) && Number.isFinite(Date.parse(value));
  const isHash = (value) => isText(value, 64) && /^[0-9a-f]{64}$/.test(value);
  const need = (holds, what) => { if (!holds) throw new Error(what); };
  need(found?.format === 1, 'it is not a picks.json of format 1');
  const said = noPicks();
  for (const [name, pick] of Object.entries(found.picks ?? {})) {
    const { stars = null, rejected = false, note = '', sha256 = null, at = null } = pick ?? {};
    need(pick && typeof pick === 'object' && isOr(stars, (value) => [1, 2, 3, 4, 5].includes(value)) && typeof rejected === 'boolean' && isText(note, 10000), `what it says of ${name} is not a pick`);
    need(isOr(sha256, isHash) && isOr(at, isMoment), `what it says of ${name} is not a pick`);
    said.picks.set(name, { stars, rejected, note, sha256, at });
  }
  need(isOr(found.pairs, Array.isArray), 'its pairs are not a list');
  for (const pair of found.pairs ?? []) {
    const { left, right, better, at = null, left_sha256 = null, right_sha256 = null } = pair ?? {};
    need(isText(left, 1000) && isText(right, 1000) && ['left', 'right', 'same'].includes(better), 'one of its pairs is invalid');
    need(isOr(at, isMoment) && isOr(left_sha256, isHash) && isOr(right_sha256, isHash), 'one of its pairs is invalid');
    said.pairs.push({ left, right, better, at, left_sha256, right_sha256 });
  }
  return said;
}

/** The same as an object that JSON can say. */
const writtenPicks = ({ picks, pairs }) => ({ format: 1, picks: Object.fromEntries(picks), pairs });

const momentOf = ({ at }) => (at === null ? -Infinity : Date.parse(at));
const identityOf = (pair) => JSON.stringify([pair.left, pair.right, pair.at === null ? pair.better : momentOf(pair)]);

/** Two as one, by the rule of `merge_picks` in Python: of a picture, what was said last; of pairs, all. */
function mergedPicks(before, said) {
  const picks = new Map(before.picks);
  for (const [name, pick] of said.picks) if (!picks.has(name) || momentOf(pick) >= momentOf(picks.get(name))) picks.set(name, pick);
  const pairs = new Map(said.pairs.map((pair) => [identityOf(pair), pair]));
  const kept = before.pairs.map((pair) => {
    const found = pairs.get(identityOf(pair)) ?? pair;
    pairs.delete(identityOf(pair));
    return found;
  });
  return { picks, pairs: [...kept, ...pairs.values()] };
}

const KEPT = 'comfy-runner.picks.';

/** What this browser keeps of a run; nothing where it may not, or what is there is none of ours. */
function keptPicks(run = data.picks.run) {
  try { return readPicks(JSON.parse(localStorage.getItem(KEPT + run))); } catch { return noPicks(); }
}

/**
 * What is said of pictures of this page, by what they are called here. The very same picture may be called otherwise elsewhere: on a page
 * of several runs, the run stands before it. `isStrict`: whether one that is called as here has to be the very same, too.
 */
function saidHere({ picks, pairs }, isStrict) {
  const ids = new Set(jobs.map((job) => job.id));
  const same = new Map();
  jobs.forEach(({ id, sha256 }) => same.set(sha256, [...(same.get(sha256) ?? []), id]));
  const isCalled = (id, name) => id === name || id.endsWith(`/${name}`) || name.endsWith(`/${id}`);
  const called = (name, hash) => (!isStrict && ids.has(name) ? [name] : hash ? (same.get(hash) ?? []).filter((id) => isCalled(id, name)) : []);
  return {
    // Two may be the same here: what was said last counts.
    picks: new Map([...picks].sort(([, a], [, b]) => momentOf(a) - momentOf(b)).flatMap(([name, pick]) => called(name, pick.sha256).map((id) => [id, pick]))),
    pairs: pairs.map((pair) => ({ ...pair, left: called(pair.left, pair.left_sha256)[0], right: called(pair.right, pair.right_sha256)[0] })).filter(({ left, right }) => left && right),
    unknown: [...picks].filter(([name, pick]) => !called(name, pick.sha256).length).length,
  };
}

/** What it keeps of the very same pictures, which were judged in another folder, or on a page of several runs. */
function movedPicks() {
  const runs = Object.keys(localStorage).filter((name) => name.startsWith(KEPT)).map((name) => name.slice(KEPT.length));
  return runs.filter((run) => run !== data.picks.run).reduce((all, run) => mergedPicks(all, saidHere(keptPicks(run), true)), noPicks());
}

const inBrowser = {
  load: async () => {
    try { return mergedPicks(movedPicks(), keptPicks()); } catch { return noPicks(); }
  },
  save: async (said) => {
    const all = mergedPicks(keptPicks(), said);
    try {
      localStorage.setItem(KEPT + data.picks.run, JSON.stringify(writtenPicks(all)));
    } catch {
      throw new Error('this browser stores nothing for this page: download your picks before you close it');
    }
    return all;
  },
};

const inRunFolder = {
  load: async () => {
    const reply = await fetch('picks.json', { cache: 'no-store' });
    if (reply.status === 404) return noPicks();
    if (!reply.ok) throw new Error(await reply.text());
    return readPicks(await reply.json());
  },
  save: async (said) => {
    const reply = await fetch('picks.json', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(writtenPicks(said)) });
    if (!reply.ok) throw new Error(await reply.text());
    return readPicks(await reply.json());
  },
};

/**
 * Where picks are kept. `load()` gives all that is kept; `save(said)` adds to it, and gives all that is kept then. A page that was opened
 * from a disk keeps them in the browser. One that is served (`data.picks.served`) asks for `picks.json` beside itself, and puts what is
 * new there: the server adds it to that of the run folder (`save_picks` in Python) and answers with all of it.
 */
const picksStore = data.picks.served ? inRunFolder : inBrowser;

const picking = { ...noPicks(), unsaved: noPicks(), saving: null, problem: data.picks.problem, changed: [] };

/** Take over what is said somewhere, and have it shown. */
function takePicks(said) {
  Object.assign(picking, mergedPicks(picking, said));
  picking.changed.forEach((draw) => draw());
}

async function savePicks() {
  while (picking.unsaved.picks.size || picking.unsaved.pairs.length) {
    const said = picking.unsaved;
    picking.unsaved = noPicks();
    try {
      const all = await picksStore.save(said);
      picking.problem = '';
      takePicks(all);
    } catch (error) {
      // It goes along with what is said next.
      picking.unsaved = mergedPicks(said, picking.unsaved);
      picking.problem = `Not kept: ${error.message}`;
      takePicks(noPicks());
      return;
    }
  }
}

/** Say something new: it is shown at once, and kept. */
function sayPicks(said) {
  picking.unsaved = mergedPicks(picking.unsaved, said);
  takePicks(said);
  picking.saving ??= savePicks().finally(() => { picking.saving = null; });
}

const nothingSaid = { stars: null, rejected: false, note: '' };
const isSaid = (pick) => Boolean(pick) && (pick.stars !== null || pick.rejected || pick.note !== '');
const isReplaced = (job) => {
  const hash = picking.picks.get(job.id)?.sha256;
  return Boolean(hash) && hash !== job.sha256;
};

/** What is said of a job's picture as it is now; one that was rendered again since is another. */
const pickOf = (job) => (isReplaced(job) ? null : picking.picks.get(job.id)) ?? nothingSaid;

const hashOf = (job) => (/^[0-9a-f]{64}$/.test(job.sha256 ?? '') ? job.sha256 : null);

function setPick(job, change) {
  if (!anyPicture(job)) return;
  const { stars, rejected, note } = { ...pickOf(job), ...change };
  sayPicks({ picks: new Map([[job.id, { stars, rejected, note, sha256: hashOf(job), at: new Date().toISOString() }]]), pairs: [] });
}

const PICK_FILTERS = {
  mine: ['only my picks', ({ stars, rejected }) => stars !== null && !rejected],
  ...Object.fromEntries([2, 3, 4, 5].map((least) => [least, [`${'★'.repeat(least)}${least < 5 ? ' and more' : ''}`, ({ stars, rejected }) => stars >= least && !rejected]])),
  kept: ['all but rejected', ({ rejected }) => !rejected],
  rejected: ['rejected', ({ rejected }) => rejected],
  open: ['not judged yet', ({ stars, rejected }) => stars === null && !rejected],
};

const passesPicks = (job, filter) => !filter || PICK_FILTERS[filter][1](pickOf(job));

async function startPicks() {
  try {
    if (data.picks.saved) Object.assign(picking, mergedPicks(readPicks(data.picks.saved), picking));
    takePicks(await picksStore.load());
  } catch (error) {
    picking.problem = `Earlier picks cannot be read: ${error.message}`;
    takePicks(noPicks());
  }
  if (arrangement.picks) drawGrid();
}
