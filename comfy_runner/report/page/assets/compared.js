// Pictures that differ from a baseline: each beside what was expected, and where they differ.

function compared({ what, url }) {
  const caption = el('figcaption', {}, what);
  const image = el('img', {
    loading: 'lazy', decoding: 'async', alt: what, src: sourceOf(url),
    onerror: () => { caption.textContent = `${what}: the file is gone`; },
  });
  return el('figure', {}, alone ? image : el('a', { href: url }, image), caption);
}

function startCompared() {
  const { differences } = data;
  if (!differences.length) return;
  byId('compared').hidden = false;
  byId('to-compared').hidden = false;
  byId('compared-body').append(...differences.map(({ job, name, message, pictures }) => el('article', { class: 'differing' },
    el('h3', {}, isolated(job), ' ', isolated(name)),
    el('p', { class: 'quiet' }, isolated(message)),
    el('div', { class: 'triple' }, pictures.map(compared)))));
}
