// A page that is served: what has changed comes as events, or is asked for where something between holds those back.

const STALE = 45_000; // milliseconds without a word after which a stream is believed to be dead: there is a beat every 15 s
const FIRST = 8_000; // for the first word of a stream; a proxy that buffers would keep it
const ASK = 3_000;

const live = { cursor: data.live.cursor, page: data.live.page, run: null, problem: '', stream: null, heard: 0, asking: 0, isThere: true };
const loaded = jobs.map((job) => job.finished); // when the page was made
const hadPictures = jobs.some(anyPicture);
const named = new Map(jobs.map((job) => [job.id, job]));
const answers = new Map();

const parts = {
  words: el('p', { class: 'live-words', role: 'status' }),
  gauge: el('div', { class: 'live-gauge' }),
  problem: el('p', { class: 'live-problem', role: 'alert', hidden: true }),
  news: button('Show the update', { class: 'plain', hidden: true, onclick: () => location.reload() }),
  cancel: button('Cancel the run', { class: 'plain', hidden: true }),
  link: el('span', { class: 'quiet live-link' }),
  lanes: el('ul', { class: 'lanes', 'aria-label': 'Servers' }),
};

served.shot = earlyShot;
served.details = (job) => {
  if (job.finished === loaded[job.index]) return null;
  const key = `${job.id} ${job.finished}`;
  if (!answers.has(key)) answers.set(key, fetch(`details?job=${encodeURIComponent(job.id)}`).then((answer) => answer.json()));
  return answers.get(key);
};

const minutes = (seconds) => (seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

function showRun() {
  const { run } = live;
  if (!run) return;
  const isOver = run.state === 'ended';
  const hasShare = !isOver && !run.is_search;
  const left = run.left !== null && !isOver ? `, about ${minutes(Math.max(5, run.left))} left` : '';
  const what = run.is_search ? 'search' : 'run';
  const states = { running: run.is_search ? 'Searching: ' : '', ending: 'Ending: finished pictures are kept. ', ended: `The ${what} has ended. ` };
  parts.words.textContent = `${states[run.state]}${run.finished} of ${plural(run.jobs, 'job')}${hasShare ? `, ${percent(run.share)}${left}` : run.is_search && !isOver ? ' so far' : ''}`;
  parts.gauge.replaceChildren(gauge(run.share, 'The whole run'));
  parts.gauge.hidden = !hasShare;
  parts.cancel.hidden = isOver;
  parts.cancel.disabled = run.state !== 'running';
  const problem = [run.problem, live.problem].filter(Boolean).join(' – ');
  parts.problem.textContent = problem;
  parts.problem.hidden = !problem;
  parts.lanes.replaceChildren(...[...lanes].map(laneLine));
  document.title = !hasShare ? document.title.replace(/^\d+% /, '') : `${percent(run.share)} ${document.title.replace(/^\d+% /, '')}`;
}

function showLink() {
  parts.link.textContent = live.isThere ? '' : 'This page is no longer served. What is loaded stays visible; comfy-runner watch serves the run again.';
  showNews();
}

/** Whether the page would look another way if it were loaded again: other jobs, a report, pictures of roles that it does not know. */
const isOld = () => live.page.plan !== data.live.page.plan || live.page.is_measured !== data.live.page.is_measured;

/** Whether the reader would miss something if the page were loaded again: what is opened, or is being written. */
const isInUse = () => Boolean(document.querySelector('dialog[open]') || document.activeElement.closest('input, select, textarea'));

function showNews() {
  parts.news.hidden = !live.isThere || !isOld();
  parts.news.textContent = live.page.is_measured && !data.live.page.is_measured ? 'Show the report with its numbers' : 'Show the update';
}

/** Take over the newest values of some names. */
function take(changes) {
  const changed = new Set();
  let hasFirst = false;
  for (const [name, value] of Object.entries(changes)) {
    const [kind, id] = [name.split(':', 1)[0], name.slice(name.indexOf(':') + 1)];
    if (name === 'run') live.run = value;
    else if (name === 'problem') live.problem = value ?? '';
    else if (name === 'page') live.page = value ?? live.page;
    else if (name === 'picks') hearPicks();
    else if (name === 'counts') showCounts(value);
    else if (kind === 'server') takeLane(id, value).forEach((job) => changed.add(job));
    else if (kind === 'preview') {
      if (value) previews.set(id, value);
      else previews.delete(id);
      changed.add(id);
    } else if (kind === 'job') {
      const job = named.get(id);
      if (!job) continue;
      hasFirst ||= !hadPictures && Object.keys(value.pictures).length > 0;
      Object.assign(job, value);
      changed.add(job.job);
    }
  }
  // What can be chosen on the page depends on which pictures there are; a search has other jobs after each step.
  if ((hasFirst || (live.run?.is_search && isOld())) && !isInUse()) {
    location.reload();
    return;
  }
  if (changed.size) {
    jobs.filter((job) => changed.has(job.job)).forEach((job) => {
      redraw(job);
      redrawRow(job);
    });
    showAspect();
    announce(chosenJobs(arrangement));
  }
  showRun();
  showNews();
}

const showCounts = (counts) => {
  byId('counts').textContent = Object.entries(counts).filter(([, count]) => count).map(([state, count]) => `${count} ${state}`).join(', ') || 'no jobs';
};

/** Somebody has said something of the pictures, perhaps on another page. */
const hearPicks = later(200, async () => {
  try { takePicks(await picksStore.load()); } catch { /* said where they are saved */ }
});

function heard() {
  live.heard = Date.now();
  live.isThere = true;
  showLink();
}

function listen() {
  live.stream?.close();
  const stream = live.stream = new EventSource(`events?since=${live.cursor}`);
  const opened = Date.now();
  stream.addEventListener('changes', (event) => {
    heard();
    live.cursor = event.lastEventId;
    take(JSON.parse(event.data));
  });
  stream.addEventListener('beat', heard);
  stream.addEventListener('error', () => { if (stream === live.stream) askSoon(ASK); });
  setTimeout(() => { if (stream === live.stream && live.heard < opened) askSoon(0); }, FIRST);
}

function askSoon(wait) {
  live.stream?.close();
  live.stream = null;
  clearTimeout(live.asking);
  live.asking = setTimeout(ask, wait);
}

/** Ask what has changed, the way out where streams do not come through; and try one again now and then. */
async function ask() {
  try {
    const answer = await fetch(`changes?since=${live.cursor}`, { cache: 'no-store' });
    if (!answer.ok) throw new Error(String(answer.status));
    const { cursor, changes } = await answer.json();
    heard();
    live.cursor = cursor;
    take(changes);
    live.asked = (live.asked ?? 0) + 1;
    if (live.asked === 1 || live.asked % 20 === 0) listen();
    else askSoon(ASK);
  } catch {
    live.isThere = false;
    showLink();
    live.asked = 0;
    askSoon(ASK);
  }
}

/** After sleep, or where nothing has been heard for long, begin anew from what is known. */
function wake() {
  if (live.stream && Date.now() - live.heard > STALE) listen();
}

/** The first click asks, the second one within some seconds cancels. */
function startCancel() {
  let sure = 0;
  const ask = () => {
    clearTimeout(sure);
    sure = 0;
    parts.cancel.textContent = 'Cancel the run';
  };
  parts.cancel.addEventListener('click', async () => {
    if (!sure) {
      parts.cancel.textContent = 'Cancel? Finished pictures are kept. Click again';
      sure = setTimeout(ask, 6000);
      return;
    }
    ask();
    parts.cancel.disabled = true;
    try {
      const answer = await fetch('cancel', { method: 'POST' });
      if (!answer.ok) throw new Error(await answer.text());
    } catch (error) {
      parts.cancel.disabled = false;
      live.problem = `The run could not be cancelled: ${error.message}`;
      showRun();
    }
  });
}

function startLive() {
  const section = el('section', { id: 'live', class: 'live', 'aria-label': 'The run' },
    el('div', { class: 'live-head' }, parts.words, parts.news, parts.cancel), parts.gauge, parts.problem, parts.link, parts.lanes);
  document.querySelector('main').prepend(section);
  if (!data.live.page.is_measured) byId('advice').hidden = true;
  byId('foot').append(' It is served, and follows its run.');
  startCancel();
  take(data.live.told);
  listen();
  setInterval(wake, 5000);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) wake(); });
  window.addEventListener('online', () => listen());
}

startLive();
