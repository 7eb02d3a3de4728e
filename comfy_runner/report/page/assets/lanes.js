// What servers do while a run goes on: a line for each of them, and the cards of the jobs that they render.

const lanes = new Map(); // by the server's name
const previews = new Map(); // the number of the newest preview, by the job's id
const progress = new Map(); // what is known of a job that a server has, by its id

function doing({ node, step, steps, ahead }) {
  if (node) return steps ? `${node} ${step}/${steps}` : node;
  return ahead === null ? 'submitted' : `waits behind ${ahead}`;
}

const percent = (fraction) => `${Math.round(fraction * 100)}%`;

/** A gauge that shows a share from 0 to 1. */
function gauge(fraction, name) {
  const inner = el('span', { class: 'gauge-inner' });
  inner.style.inlineSize = percent(fraction);
  return el('span', { class: 'gauge', role: 'progressbar', 'aria-label': name, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(fraction * 100) }, inner);
}

function laneLine([name, server]) {
  const current = server.jobs.find((job) => job.id === server.current);
  const others = server.jobs.length - (current ? 1 : 0);
  const count = [`${server.done} done`, others ? `${others} waiting` : '', server.stage === 'draining' ? 'draining' : ''].filter(Boolean).join(', ');
  const middle = server.stage === 'out'
    ? [el('span', { class: 'lane-what bad' }, `out of order${server.why ? ': ' : ''}`, isolated(server.why))]
    : current
      ? [el('span', { class: 'lane-what' }, isolated(current.id), el('span', { class: 'quiet' }, ' ', isolated(doing(current)))), gauge(current.fraction, current.id)]
      : [el('span', { class: 'lane-what quiet' }, 'idle')];
  return el('li', { class: 'lane' }, el('span', { class: 'lane-name' }, isolated(name)), middle, el('span', { class: 'lane-count quiet' }, count));
}

/** Take over what a server does; returns the ids of the jobs whose cards are other ones now. */
function takeLane(name, server) {
  const before = lanes.get(name)?.jobs ?? [];
  if (server) lanes.set(name, server);
  else lanes.delete(name);
  const now = server?.jobs ?? [];
  before.forEach((job) => progress.delete(job.id));
  now.forEach((job) => progress.set(job.id, job));
  return [...before, ...now].map((job) => job.id);
}

/** What a card shows of a job that has no picture yet: its preview and how far it is; null where no server has it. */
function earlyShot(job) {
  const known = progress.get(job.job);
  if (!known) return null;
  const number = previews.get(job.job);
  const preview = number ? el('img', { src: `preview?job=${encodeURIComponent(job.job)}&number=${number}`, alt: `Preview of ${job.id}`, onerror: (event) => event.target.remove() }) : null;
  return el('span', { class: 'shot early' }, preview,
    el('span', { class: 'early-words' }, el('span', {}, isolated(doing(known))), known.node ? gauge(known.fraction, job.id) : null),
    el('span', { class: 'out-of-sight' }, `, ${job.id}`));
}
