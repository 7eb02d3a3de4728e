// Detail and drift along the suggestion's axis: every picture as a dot, the mean as a line with its spread as a band; and the same as a
// table. Of several runs, each has a line.

const NUMBER_KEYS = [
  { key: 'detail', title: 'Detail', says: 'more is better' },
  { key: 'drift', title: 'Drift', says: 'less is better', limit: (curve) => curve.limits.drift },
];
const COLOURS = 6; // of lines; further ones begin with the first again

/** What there are lines of: the run, or each of several that has an axis of a suggestion. */
const curves = (data.runs.length ? data.runs : [{ ...suggestion, name: '', chosen: suggestion?.chosen?.label ?? null }])
  .filter((curve) => curve.points?.length)
  .map((curve, index) => ({ ...curve, index: index % COLOURS, along: axes.find((each) => each.field === curve.axis) ?? null }));
const isOfSeveral = data.runs.length > 0;

const nameOf = ({ along, axis }) => along?.name ?? axis;

/** Where a point lies: by its number, else by the place of its value. */
const placeOn = ({ along, points }, point) => (along?.numbers ? point.value : along ? along.values.indexOf(point.label) : points.indexOf(point));

/** The places of some curves, with what they are called. */
function placesOf(some) {
  const found = new Map(some.flatMap((curve) => curve.points.map((point) => [placeOn(curve, point), point.label])));
  const order = [...found.keys()].sort((a, b) => a - b);
  return { places: order, labels: order.map((place) => found.get(place)) };
}

/** Canvas knows no light-dark(); the page resolves a colour for it. */
function colour(value) {
  const probe = el('span');
  probe.style.color = value;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The colours of a line and its band. */
function inkOf(curve) {
  const name = isOfSeveral ? `--curve-${curve.index}` : '--accent';
  return { line: colour(`var(${name})`), band: colour(`color-mix(in srgb, var(${name}) ${isOfSeveral ? 9 : 17}%, transparent)`) };
}

/** The dots of single pictures of a curve: [place, number]. */
function dots({ along, name }, key) {
  const runs = axes.find((axis) => axis.field === 'run');
  const isOf = (job) => job.numbers && job.at[along.index] >= 0 && (!isOfSeveral || valueOf(job, runs) === name);
  const place = (job) => along.numbers?.[job.at[along.index]] ?? job.at[along.index];
  return along ? jobs.filter(isOf).map((job) => [place(job), numberOf(job, key)]).filter(([, value]) => value !== null) : [];
}

function drawDots({ ctx, valToPos }, found, ink) {
  ctx.fillStyle = ink;
  ctx.globalAlpha = 0.45;
  for (const [place, value] of found) {
    ctx.beginPath();
    ctx.arc(valToPos(place, 'x', true), valToPos(value, 'y', true), 2.5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** Draw what uPlot does not: dots, the limit, and which value is suggested. */
function drawMarks(plot, some, number, ink) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  some.forEach((curve) => drawDots(plot, dots(curve, number.key), isOfSeveral ? inkOf(curve).line : ink.quiet));
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.lineWidth = 1.5 * ratio;
  ctx.textAlign = 'left';
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  if (number.limit) {
    const limit = number.limit(some[0]);
    const y = plot.valToPos(limit, 'y', true);
    stroke(ctx, [bbox.left, y], [bbox.left + bbox.width, y], ink.ink);
    ctx.fillText(`limit ${limit}`, bbox.left + 6 * ratio, y - 5 * ratio);
  }
  some.forEach((curve) => {
    const chosen = curve.points.find((point) => point.label === curve.chosen);
    if (!chosen) return;
    const x = plot.valToPos(placeOn(curve, chosen), 'x', true);
    if (isOfSeveral) drawRing(ctx, [x, plot.valToPos(chosen[number.key], 'y', true)], inkOf(curve).line);
    else drawSuggested(plot, x, inkOf(curve).line);
  });
  ctx.restore();
}

/** Mark the suggested value of one of several curves, which may be that of others, too. */
function drawRing(ctx, [x, y], ink) {
  ctx.strokeStyle = ink;
  ctx.setLineDash([]);
  ctx.beginPath();
  ctx.arc(x, y, 8 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.stroke();
}

function drawSuggested({ ctx, bbox }, x, ink) {
  const isRight = x > bbox.left + bbox.width * 0.75;
  ctx.textAlign = isRight ? 'right' : 'left';
  stroke(ctx, [x, bbox.top], [x, bbox.top + bbox.height], ink);
  ctx.fillText('suggested', x + (isRight ? -6 : 6) * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
}

function stroke(ctx, [x, y], [toX, toY], color) {
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

/** The lines of a curve at all places: the mean less its spread, with it, and alone; null where it has no point. */
function linesOf(curve, key, places) {
  const at = new Map(curve.points.map((point) => [placeOn(curve, point), point]));
  const edge = (way) => places.map((place) => {
    const mean = at.get(place)?.[key] ?? null;
    return mean === null ? null : mean + way * (at.get(place)[`${key}_spread`] ?? 0);
  });
  return [edge(-1), edge(1), edge(0)];
}

function plotOf(some, number, width) {
  const ink = { quiet: colour('var(--quiet)'), ink: colour('var(--ink)'), line: colour('var(--line)') };
  const { places, labels } = placesOf(some);
  const lines = some.flatMap((curve) => linesOf(curve, number.key, places));
  const seen = [...lines.flat().filter((value) => value !== null), ...some.flatMap((curve) => dots(curve, number.key).map(([, value]) => value))];
  const gap = (places.at(-1) - places[0]) / Math.max(1, places.length - 1) / 2 || 0.5;
  const highest = Math.max(...seen, (number.limit?.(some[0]) ?? 0) * 1.1, 0.01);
  const lowest = Math.min(0, ...seen);
  const axis = { stroke: ink.quiet, font: '12px system-ui, sans-serif', grid: { stroke: ink.line, width: 1 }, ticks: { show: false } };
  const edge = { stroke: 'transparent', points: { show: false }, spanGaps: true };
  return {
    width, height: 200, legend: { show: false }, cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: () => [places[0] - gap, places.at(-1) + gap] }, y: { range: () => [lowest, highest * 1.06] } },
    axes: [{ ...axis, splits: () => places, values: () => thinned(labels, width), gap: 6, size: 32 }, { ...axis, size: 46 }],
    series: [{}, ...some.flatMap((curve) => [edge, edge, { stroke: inkOf(curve).line, width: 2, spanGaps: true, points: { size: 7, fill: inkOf(curve).line } }])],
    bands: some.map((curve, index) => ({ series: [3 * index + 2, 3 * index + 1], fill: inkOf(curve).band })),
    hooks: { draw: [(plot) => drawMarks(plot, some, number, ink)] },
    data: [places, ...lines],
  };
}

/** Labels of an axis, only as many as there is room for. */
function thinned(labels, width) {
  const longest = Math.max(...labels.map((text) => Math.min(24, text.length)));
  const every = Math.ceil((labels.length * (longest * 7 + 14)) / width);
  return labels.map((text, index) => (index % every ? '' : text.length > 24 ? `${text.slice(0, 23)}…` : text));
}

const swatch = (curve) => [el('span', { class: 'swatch', 'data-curve': curve.index, 'aria-hidden': 'true' }), isolated(curve.name)];

function pointsTable(some) {
  const spread = (mean, by) => (mean === null ? '–' : by === null ? figure(mean) : `${figure(mean)} ± ${figure(by)}`);
  const heads = [nameOf(some[0]), ...(isOfSeveral ? ['run'] : []), 'pictures', 'passing', 'detail', 'drift', 'worst drift', 'worst local drift', 'why not'];
  const isNumber = (index) => index > heads.length - 8 && index < heads.length - 1;
  const row = ({ curve, point }) => el('tr', { class: point.label === curve.chosen ? 'is-suggested' : null },
    el('th', { scope: 'row' }, isolated(point.label), ' ', point.label === curve.chosen ? el('span', { class: 'tag good' }, 'suggested') : null),
    isOfSeveral ? el('td', { class: 'run' }, swatch(curve)) : null,
    [point.measured, point.passing, spread(point.detail, point.detail_spread), spread(point.drift, point.drift_spread), figure(point.worst_drift), figure(point.worst_local_drift)].map((text) => el('td', { class: 'number' }, String(text))),
    el('td', {}, isolated(point.why)));
  // What is to be compared stands one below the other.
  const rows = some.flatMap((curve) => curve.points.map((point) => ({ curve, point, place: placeOn(curve, point) }))).sort((a, b) => a.place - b.place);
  return el('div', { class: 'scroller', role: 'region', 'aria-label': `Table of the curve along ${nameOf(some[0])}`, tabindex: 0 }, el('table', { class: 'sheet' },
    el('thead', {}, el('tr', {}, heads.map((head, index) => el('th', { scope: 'col', class: isNumber(index) ? 'number' : null }, isolated(head))))),
    el('tbody', {}, rows.map(row))));
}

function votesInWords() {
  if (!suggestion) return [];
  const said = [];
  const votes = Object.entries(suggestion.votes);
  if (suggestion.series > 1 && votes.length) {
    said.push(`Of ${suggestion.series} series, ${votes.map(([value, count]) => `${count} ${count === 1 ? 'names' : 'name'} ${value === 'none' ? 'no value' : value}`).join(', ')}.`);
  }
  for (const [field, values] of Object.entries(suggestion.apart)) {
    const axis = axes.find((each) => each.field === field);
    said.push(`By ${axis?.name ?? field} alone: ${Object.entries(values).map(([value, found]) => `${value} → ${found ?? 'none'}`).join(', ')}.`);
  }
  return said.map((text) => el('p', {}, isolated(text)));
}

function drawCurves(holder, some) {
  const width = holder.clientWidth;
  if (!width) return;
  const wide = width > 900 ? Math.floor((width - 32) / 2) : width;
  holder.replaceChildren(...NUMBER_KEYS.map((number) => {
    const box = el('figure', { class: 'plot' }, el('figcaption', {}, el('strong', {}, number.title), el('span', { class: 'quiet' }, ` ${number.says}`)));
    const { data: points, ...options } = plotOf(some, number, wide);
    const inside = el('div', { role: 'img', 'aria-label': `${number.title} along ${nameOf(some[0])}; the table below has the numbers` });
    box.append(inside);
    new uPlot(options, points, inside);
    return box;
  }));
}

/** Show the curves along one axis, and draw them again when there is another width or other colours. */
function showCurves(some) {
  const holder = el('div', { class: 'plots' });
  const legend = isOfSeveral ? el('p', { class: 'legend' }, some.map((curve) => el('span', {}, swatch(curve), curve.chosen === null ? null : el('span', { class: 'quiet' }, ` – suggested: ${curve.chosen}`)))) : null;
  let drawn = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === drawn) return;
    drawn = holder.clientWidth;
    drawCurves(holder, some);
  }).observe(holder);
  themed.push(() => drawCurves(holder, some));
  return [legend, holder, ...votesInWords(), pointsTable(some)].filter(Boolean);
}

function startCurve() {
  if (!curves.length) {
    byId('to-curve').remove();
    return;
  }
  byId('curve').hidden = false;
  const [first, ...others] = [...new Set(curves.map((curve) => curve.axis))].map((axis) => curves.filter((curve) => curve.axis === axis));
  byId('curve-title').textContent = `Detail and drift along ${nameOf(first[0])}`;
  byId('curve-body').append(...showCurves(first), ...others.flatMap((some) => [el('h2', {}, `Along ${nameOf(some[0])}`), ...showCurves(some)]));
}
