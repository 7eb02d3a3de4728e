// Detail and drift along the suggestion's axis: every picture as a dot, the mean as a line with its spread as a band; and the same as a table.

const NUMBER_KEYS = [
  { key: 'detail', title: 'Detail', says: 'more is better' },
  { key: 'drift', title: 'Drift', says: 'less is better', limit: () => suggestion.limits.drift },
];

/** Canvas knows no light-dark(); the page resolves a colour for it. */
function colour(name) {
  const probe = el('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const places = () => suggestion.points.map((point, index) => (suggestedAxis?.numbers ? point.value : index));

/** The dots of single pictures: [place, number]. */
function dots(key) {
  if (!suggestedAxis) return [];
  return jobs.filter((job) => job.numbers && job.at[suggestedAxis.index] >= 0).map((job) => [places()[job.at[suggestedAxis.index]], numberOf(job, key)]).filter(([, value]) => value !== null);
}

/** Draw what uPlot does not: dots, the limit, and which value is suggested. */
function drawMarks(plot, number, ink) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = ink.quiet;
  ctx.globalAlpha = 0.45;
  for (const [place, value] of dots(number.key)) {
    ctx.beginPath();
    ctx.arc(plot.valToPos(place, 'x', true), plot.valToPos(value, 'y', true), 2.5 * ratio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.lineWidth = 1.5 * ratio;
  ctx.textAlign = 'left';
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  if (number.limit) {
    const y = plot.valToPos(number.limit(), 'y', true);
    stroke(ctx, [bbox.left, y], [bbox.left + bbox.width, y], ink.ink);
    ctx.fillText(`limit ${number.limit()}`, bbox.left + 6 * ratio, y - 5 * ratio);
  }
  if (suggestedIndex >= 0) {
    const x = plot.valToPos(places()[suggestedIndex], 'x', true);
    const isRight = x > bbox.left + bbox.width * 0.75;
    ctx.textAlign = isRight ? 'right' : 'left';
    stroke(ctx, [x, bbox.top], [x, bbox.top + bbox.height], ink.accent);
    ctx.fillText('suggested', x + (isRight ? -6 : 6) * ratio, bbox.top + 12 * ratio);
  }
  ctx.restore();
}

function stroke(ctx, [x, y], [toX, toY], color) {
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

function plotOf(number, width) {
  const ink = { accent: colour('--accent'), quiet: colour('--quiet'), ink: colour('--ink'), line: colour('--line'), band: colour('--band') };
  const means = suggestion.points.map((point) => point[number.key]);
  const spreads = suggestion.points.map((point) => point[`${number.key}_spread`] ?? 0);
  const edge = (way) => means.map((mean, index) => (mean === null ? null : mean + way * spreads[index]));
  const xs = places();
  const gap = (xs.at(-1) - xs[0]) / Math.max(1, xs.length - 1) / 2 || 0.5;
  const highest = Math.max(...dots(number.key).map(([, value]) => value), ...edge(1), (number.limit?.() ?? 0) * 1.1, 0.01);
  const lowest = Math.min(0, ...dots(number.key).map(([, value]) => value), ...edge(-1));
  const axis = { stroke: ink.quiet, font: '12px system-ui, sans-serif', grid: { stroke: ink.line, width: 1 }, ticks: { show: false } };
  return {
    width, height: 200, legend: { show: false }, cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: () => [xs[0] - gap, xs.at(-1) + gap] }, y: { range: () => [lowest, highest * 1.06] } },
    axes: [{ ...axis, splits: () => xs, values: () => thinned(suggestion.points.map((point) => point.label), width), gap: 6, size: 32 }, { ...axis, size: 46 }],
    series: [{}, { stroke: 'transparent', points: { show: false } }, { stroke: 'transparent', points: { show: false } }, { stroke: ink.accent, width: 2, points: { size: 7, fill: ink.accent } }],
    bands: [{ series: [2, 1], fill: ink.band }],
    hooks: { draw: [(plot) => drawMarks(plot, number, ink)] },
    data: [xs, edge(-1), edge(1), means],
  };
}

/** Labels of an axis, only as many as there is room for. */
function thinned(labels, width) {
  const longest = Math.max(...labels.map((text) => Math.min(24, text.length)));
  const every = Math.ceil((labels.length * (longest * 7 + 14)) / width);
  return labels.map((text, index) => (index % every ? '' : text.length > 24 ? `${text.slice(0, 23)}…` : text));
}

function pointsTable() {
  const spread = (mean, by) => (mean === null ? '–' : by === null ? figure(mean) : `${figure(mean)} ± ${figure(by)}`);
  const heads = [suggestedAxis?.name ?? suggestion.axis, 'pictures', 'passing', 'detail', 'drift', 'worst drift', 'worst local drift', 'why not'];
  const row = (point) => el('tr', { class: point.label === suggestion.chosen?.label ? 'is-suggested' : null },
    el('th', { scope: 'row' }, isolated(point.label), ' ', point.label === suggestion.chosen?.label ? el('span', { class: 'tag good' }, 'suggested') : null),
    [point.measured, point.passing, spread(point.detail, point.detail_spread), spread(point.drift, point.drift_spread), figure(point.worst_drift), figure(point.worst_local_drift)].map((text) => el('td', { class: 'number' }, String(text))),
    el('td', {}, isolated(point.why)));
  return el('div', { class: 'scroller', role: 'region', 'aria-label': 'Table of the curve', tabindex: 0 }, el('table', { class: 'sheet' },
    el('thead', {}, el('tr', {}, heads.map((head, index) => el('th', { scope: 'col', class: index > 0 && index < 7 ? 'number' : null }, isolated(head))))),
    el('tbody', {}, suggestion.points.map(row))));
}

function votesInWords() {
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

function drawCurves(holder) {
  const width = holder.clientWidth;
  if (!width) return;
  const wide = width > 900 ? Math.floor((width - 32) / 2) : width;
  holder.replaceChildren(...NUMBER_KEYS.map((number) => {
    const box = el('figure', { class: 'plot' }, el('figcaption', {}, el('strong', {}, number.title), el('span', { class: 'quiet' }, ` ${number.says}`)));
    const { data: points, ...options } = plotOf(number, wide);
    const inside = el('div', { role: 'img', 'aria-label': `${number.title} along ${suggestedAxis?.name ?? suggestion.axis}; the table below has the numbers` });
    box.append(inside);
    new uPlot(options, points, inside);
    return box;
  }));
}

function startCurve() {
  if (!suggestion?.points.length) {
    byId('to-curve').remove();
    return;
  }
  byId('curve').hidden = false;
  byId('curve-title').textContent = `Detail and drift along ${suggestedAxis?.name ?? suggestion.axis}`;
  const holder = el('div', { class: 'plots' });
  byId('curve-body').append(holder, ...votesInWords(), pointsTable());
  let drawn = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === drawn) return;
    drawn = holder.clientWidth;
    drawCurves(holder);
  }).observe(holder);
  themed.push(() => drawCurves(holder));
}
