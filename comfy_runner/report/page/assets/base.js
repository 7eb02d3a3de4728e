// Elements and small helpers. Whatever comes from a run goes into the page as text or as an attribute, never as markup.

const byId = (id) => document.getElementById(id);

/** Make an element; `onclick` and the like are listeners, true and false set or leave out an attribute. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A text of the run, kept from changing the direction of what is around it. */
const isolated = (text) => el('bdi', {}, text);

/** A name that is broken after its signs, or where a capital begins a word, rather than inside its words. */
const breakable = (text) => el('bdi', {}, text.split(/(?<=[_\-./\\])|(?<=[a-z0-9])(?=[A-Z])/).flatMap((part) => [part, el('wbr')]));

const button = (text, attributes = {}) => el('button', { type: 'button', ...attributes }, text);

/** A select with its label; options are [value, text]. */
function labelled(text, options, attributes = {}) {
  const select = el('select', attributes, options.map(([value, name]) => el('option', { value }, name)));
  return { select, label: el('label', { class: 'field' }, el('span', {}, text), select) };
}

function check(text, attributes = {}) {
  const box = el('input', { type: 'checkbox', ...attributes });
  return { box, label: el('label', { class: 'chip' }, box, el('span', {}, isolated(text))) };
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A number with as many digits as a person compares. */
function figure(value) {
  if (value === null || value === undefined) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(3);
}

const moment = (text) => new Date(text).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function later(wait, action) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), wait);
  };
}

/** The bytes of a text in base64. */
function bytesOf(text) {
  const packed = atob(text.trim());
  const bytes = new Uint8Array(packed.length);
  for (let index = 0; index < packed.length; index += 1) bytes[index] = packed.charCodeAt(index);
  return bytes;
}

/** Copy a text; a page that was opened as a file may have no clipboard, but it has text fields. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el('textarea', { class: 'out-of-sight', 'aria-hidden': 'true' });
    field.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}

function copyButton(what, text) {
  const node = button('Copy', {
    class: 'plain small', 'aria-label': `Copy ${what}`,
    onclick: async () => {
      node.textContent = (await copy(text)) ? 'Copied' : 'Select it and press Ctrl+C';
      node.focus();
      setTimeout(() => { node.textContent = 'Copy'; }, 1500);
    },
  });
  return node;
}

/** What the reader chose earlier; pages of files may not be allowed to remember. */
const memory = {
  get(name) {
    try { return localStorage.getItem(`comfy-runner.${name}`); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`comfy-runner.${name}`, value); } catch { /* then it is forgotten */ }
  },
};
