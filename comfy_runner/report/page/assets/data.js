// The run as the page was given it: jobs, axes, metrics; and the details of a job, unpacked when they are first needed.

const data = JSON.parse(byId('data').textContent);
const axes = data.axes.map((axis, index) => ({ ...axis, index }));
const jobs = data.jobs.map((job, index) => ({ ...job, index }));
const metrics = data.metrics.map((metric, index) => ({ ...metric, index }));
/** How many jobs these are; one that has several outputs is several times in the list. */
const countJobs = (list) => new Set(list.map((job) => job.job)).size;
const hasNumbers = jobs.some((job) => job.numbers);

const valueOf = (job, axis) => axis.values[job.at[axis.index]] ?? 'none';
const describe = (job, some = axes) => some.map((axis) => `${axis.name} ${valueOf(job, axis)}`).join(', ');
const numberOf = (job, key) => job.numbers?.[metrics.find((metric) => metric.key === key).index] ?? null;

/** The first picture of a role that can be shown. */
const picture = (job, role) => job.pictures[role]?.find((each) => each.thumb) ?? null;
const original = (job) => picture(job, 'original');
const anyPicture = (job) => Object.keys(job.pictures).map((role) => picture(job, role)).find(Boolean) ?? null;
const upscaled = (job) => picture(job, 'upscaled') ?? anyPicture(job);

const suggestion = data.suggestion;
const suggestedAxis = suggestion ? axes.find((axis) => axis.field === suggestion.axis) ?? null : null;
const suggestedIndex = suggestedAxis && suggestion.chosen ? suggestedAxis.values.indexOf(suggestion.chosen.label) : -1;
const isSuggested = (job) => suggestedIndex >= 0 && job.at[suggestedAxis.index] === suggestedIndex;

const faultWords = (job) => job.faults.map((fault) => data.faults[fault] ?? fault).join(', ');

let lines = null;

async function unpacked() {
  const bytes = Uint8Array.from(atob(byId('details').textContent.trim()), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return (await new Response(stream).text()).split('\n');
}

/** What is known of a job besides what the grid shows: its workflow, notes, signatures. */
async function details(job) {
  lines ??= unpacked();
  return JSON.parse((await lines)[job.index]);
}

let texts = null;

/** What of each job can be searched, in lower case. */
async function searchable() {
  texts ??= Promise.all(jobs.map(async (job) => {
    const known = await details(job);
    return [job.id, describe(job), known.prompt, known.negative].join('\n').toLowerCase();
  }));
  return texts;
}
