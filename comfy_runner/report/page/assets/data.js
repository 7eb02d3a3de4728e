// The run as the page was given it: jobs, axes, metrics; and the details of a job, unpacked when they are first needed.

const data = JSON.parse(byId('data').textContent);
const axes = data.axes.map((axis, index) => ({ ...axis, index }));
/** What rows and columns can stand for: an axis, or several that move together; the first one tells the places. */
const dimensions = data.dimensions.map((dimension, index) => ({ ...dimension, index, first: dimension.axes[0] }));
const jobs = data.jobs.map((job, index) => ({ ...job, index }));
const metrics = data.metrics.map((metric, index) => ({ ...metric, index }));
/** How many jobs these are; one that has several outputs is several times in the list. */
const countJobs = (list) => new Set(list.map((job) => job.job)).size;
const hasNumbers = jobs.some((job) => job.numbers);

const valueOf = (job, axis) => axis.values[job.at[axis.index]] ?? 'none';
const describe = (job, some = axes) => some.map((axis) => `${axis.name} ${valueOf(job, axis)}`).join(', ');
const placeOf = (job, dimension) => job.at[dimension.first];
/** What of the dimensions a job has, as short as they are called. */
const inShort = (job, some) => some.map((dimension) => (dimension.axes.length > 1 ? '' : `${dimension.name} `) + (dimension.labels[placeOf(job, dimension)] ?? 'none')).join(', ');
const numberOf = (job, key) => job.numbers?.[metrics.find((metric) => metric.key === key).index] ?? null;

/** Whether the page has its pictures in it, and nothing beside it. */
const alone = data.embedded !== null;
const held = new Map();

/** Where the browser finds a picture: beside the page, or in an element of a page that stands alone. */
function sourceOf(place) {
  if (!alone) return place;
  if (!held.has(place)) {
    const { type, textContent } = byId(place);
    held.set(place, URL.createObjectURL(new Blob([bytesOf(textContent)], { type })));
  }
  return held.get(place);
}

/** The first picture of a role that can be shown. */
const picture = (job, role) => job.pictures[role]?.find((each) => each.thumb) ?? null;
const original = (job) => picture(job, 'original');
const anyPicture = (job) => Object.keys(job.pictures).map((role) => picture(job, role)).find(Boolean) ?? null;
const upscaled = (job) => picture(job, 'upscaled') ?? anyPicture(job);

/** Which pictures jobs have, what is shown first ahead. */
const roles = () => [...new Set(jobs.flatMap((job) => Object.keys(job.pictures)))].sort((a, b) => (b === 'upscaled') - (a === 'upscaled'));
const usualRole = () => roles()[0] ?? 'upscaled';

const suggestion = data.suggestion;
const suggestedAxis = suggestion ? axes.find((axis) => axis.field === suggestion.axis) ?? null : null;
const suggestedIndex = suggestedAxis && suggestion.chosen ? suggestedAxis.values.indexOf(suggestion.chosen.label) : -1;
const isSuggested = (job) => job.suggested || (suggestedIndex >= 0 && job.at[suggestedAxis.index] === suggestedIndex);

const faultWords = (job) => job.faults.map((fault) => data.faults[fault] ?? fault).join(', ');

let lines = null;

async function unpacked() {
  const stream = new Blob([bytesOf(byId('details').textContent)]).stream().pipeThrough(new DecompressionStream('gzip'));
  return (await new Response(stream).text()).split('\n');
}

/** What a page that is served does in another way; `live.js` says how. */
const served = { details: null, shot: () => null };

/** What is known of a job besides what the grid shows: its workflow, notes, signatures. */
async function details(job) {
  const asked = served.details?.(job);
  if (asked) return asked;
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
