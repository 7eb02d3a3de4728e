// The head of a page of several runs: where each is, what is suggested for it, in what it differs from the others.

function joinedRun({ name, place, url, axis, chosen, reason, differs }) {
  const along = axes.find((each) => each.field === axis)?.name ?? axis;
  const title = url && !alone ? el('a', { href: url }, isolated(name)) : isolated(name);
  const found = chosen === null ? null : el('p', {}, el('span', { class: 'tag good' }, 'suggested'), ' ', isolated(`${along} ${chosen}`));
  const values = Object.entries(differs).flatMap(([each, text]) => el('div', {}, term(each, isolated(text))));
  return el('section', { class: 'joined-run' }, el('h2', {}, title), el('p', { class: 'quiet' }, isolated(place)), found,
    reason ? el('p', { class: 'quiet' }, isolated(reason)) : null, values.length ? el('dl', { class: 'fixed' }, values) : null);
}

function startJoined() {
  if (!data.runs.length) return;
  byId('advice').hidden = true;
  byId('joined').hidden = false;
  byId('joined').append(...data.runs.map(joinedRun));
  if (!alone) byId('foot').replaceChildren(`Made by comfy_runner ${data.version}. This page links to the pictures of its runs by relative paths.`);
}
