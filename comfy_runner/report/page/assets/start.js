// The head of the page, and starting all the rest.

function startHead() {
  const { counts, notes } = data;
  byId('counts').textContent = `${Object.entries(counts).map(([state, count]) => `${count} ${state}`).join(', ') || 'no jobs'} · ${moment(data.made)}`;
  const advice = byId('advice');
  if (suggestion) {
    const head = suggestion.chosen ? el('strong', {}, `${suggestedAxis?.name ?? suggestion.axis} `, isolated(suggestion.chosen.label)) : el('strong', {}, 'No suggestion');
    const sureness = suggestion.chosen ? el('span', { class: 'tag' }, suggestion.sureness === 'unknown' ? 'one series: certainty unknown' : suggestion.sureness) : null;
    advice.append(el('span', { class: 'advice-head' }, suggestion.chosen ? 'Suggested: ' : '', head, ' ', sureness ?? ''), el('span', { class: 'reason' }, isolated(suggestion.reason), suggestion.eyes ? [el('br'), isolated(suggestion.eyes.told)] : ''));
  } else {
    advice.append(hasNumbers ? 'No suggestion: there is no axis along which values could be compared.' : 'No suggestion: the pictures were not measured.');
  }
  const fixed = Object.entries(data.fixed);
  byId('fixed').append(...fixed.flatMap(([name, text]) => el('div', { class: /prompt/.test(name) ? 'long' : null, title: /prompt/.test(name) ? text : null }, term(name, isolated(text)))));
  byId('fixed').hidden = !fixed.length;
  byId('notes').append(...notes.map((note) => el('li', {}, isolated(note))));
  byId('notes').hidden = !notes.length;
  byId('foot').append(`Made by comfy_runner ${data.version}. ${alone ? 'This page contains its pictures and needs no other files.' : 'This page, report_files and the job folders belong together.'}`);
}

startTheme();
startHead();
startJoined();
startCompared();
startGrid();
startCompareSet();
startViewer();
startPicking();
startBlindPairs();
const linked = startControls();
startTable();
startSearch();
startCurve();
if (linked.some.length) openViewer(linked.some.includes(linked.job) ? linked.job : linked.some[1], linked.some);
else if (linked.job && upscaled(linked.job)) openViewer(linked.job);
else if (jobs.length === 1 && !data.differences.length && upscaled(jobs[0])) openViewer(jobs[0]);
