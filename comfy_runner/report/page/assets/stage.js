// The stage of the viewer: one or two pictures, laid over or beside each other, all under the same view.

const MODES = [
  ['wipe', 'Wipe', 'w'],
  ['side', 'Side by side', 's'],
  ['difference', 'Difference', 'd'],
  ['crops', 'Crops', 'c'],
  ['single', 'Only this', 'u'],
];

const stage = {
  area: el('div', { class: 'stage' }),
  view: WHOLE,
  size: { width: 1, height: 1 },
  wipe: 50,
  slider: null,
  place: null, // the rectangle of a difference that was jumped to
  onview: () => {},
};

function layer(shown, text) {
  const image = el('img', { src: sourceOf(shown.picture.url), alt: shown.alt, draggable: 'false', width: shown.picture.width, height: shown.picture.height });
  const odd = Math.abs((shown.picture.width / shown.picture.height) / (stage.size.width / stage.size.height) - 1) > 0.02;
  image.addEventListener('error', () => text.replaceChildren(`${shown.name}: the file cannot be shown`));
  return el('div', { class: odd ? 'layer whole' : 'layer' }, image);
}

function frame(shown, ...others) {
  const text = el('span', { class: 'pill' }, shown ? isolated(shown.name) : '');
  return { node: el('div', { class: 'frame' }, shown ? layer(shown, text) : null, others), text };
}

function wipePane(left, right) {
  const [under, over] = [frame(right), frame(left)];
  under.node.slot = 'second';
  over.node.slot = 'first';
  const slider = el('img-comparison-slider', { keyboard: 'disabled', role: 'slider', 'aria-valuemin': 0, 'aria-valuemax': 100 },
    over.node, under.node, el('div', { slot: 'handle', class: 'handle' }, el('div', { class: 'knob' })));
  slider.value = stage.wipe;
  slider.setAttribute('aria-label', `Wipe: ${left.name} on the left, ${right.name} on the right`);
  slider.addEventListener('slide', () => { stage.wipe = slider.value; sayWipe(); });
  // Arrow keys belong to the slider when it was reached by keyboard; a mouse leaves them to the jobs.
  slider.addEventListener('pointerdown', () => { slider.dataset.by = 'mouse'; });
  slider.addEventListener('blur', () => { delete slider.dataset.by; });
  stage.slider = slider;
  sayWipe();
  over.text.classList.add('left');
  under.text.classList.add('right');
  return el('div', { class: 'pane' }, slider, over.text, under.text);
}

function sayWipe() {
  stage.slider.setAttribute('aria-valuenow', Math.round(stage.wipe));
}

function moveWipe(by) {
  if (!stage.slider) return;
  stage.wipe = clamp(stage.wipe + by, 0, 100);
  stage.slider.value = stage.wipe;
  sayWipe();
}

function differencePane(left, right) {
  const both = frame(left, layer(right, el('span')));
  both.node.classList.add('difference');
  both.text.replaceChildren('Black where they are the same');
  return el('div', { class: 'pane' }, both.node, both.text);
}

function plainPane(shown) {
  const { node, text } = frame(shown);
  return el('div', { class: 'pane' }, node, text);
}

/**
 * Show two pictures, or side by side as many as there are.
 * @param left what the right one is held against; may be missing. Each is {picture, name, alt}.
 * @param beside all that stand side by side, and of which there are crops; those two, if no others are compared.
 * @param find returns the places in which these differ most.
 */
function setStage(mode, left, right, beside, find) {
  stage.slider = null;
  stage.place = null;
  stage.area.style.gridTemplate = '';
  stage.size = { width: right.picture.width, height: right.picture.height };
  const pair = {
    wipe: () => [wipePane(left, right)],
    side: () => beside.map(plainPane),
    difference: () => [differencePane(left, right)],
    single: () => [plainPane(right)],
  };
  stage.area.style.setProperty('--picture', `${stage.size.width} / ${stage.size.height}`);
  if (mode === 'crops' && beside.length > 1) {
    showCrops(beside, find);
    return;
  }
  const isHeld = left || (mode === 'side' && beside.length > 1);
  stage.area.dataset.mode = isHeld ? mode : 'single';
  stage.area.replaceChildren(...pair[isHeld ? mode : 'single']());
  showView();
}

const panes = () => [...stage.area.querySelectorAll('.pane')];

function paneSize() {
  const { clientWidth, clientHeight } = panes()[0] ?? stage.area;
  return { width: Math.max(1, clientWidth), height: Math.max(1, clientHeight) };
}

/** Put three or four pictures into as many columns as make them largest; two have their places by the style. */
function layPanes() {
  const count = panes().length;
  const { clientWidth, clientHeight } = stage.area;
  const scale = (columns) => Math.min(clientWidth / columns / stage.size.width, clientHeight / Math.ceil(count / columns) / stage.size.height);
  const columns = [4, 3, 2, 1].filter((each) => each <= count).reduce((best, each) => (scale(each) > scale(best) ? each : best));
  stage.area.style.gridTemplate = count > 2 ? `repeat(${Math.ceil(count / columns)}, minmax(0, 1fr)) / repeat(${columns}, minmax(0, 1fr))` : '';
}

/** Lay every picture as the view says. */
function showView() {
  if (!panes().length) return;
  layPanes();
  const pane = paneSize();
  const box = fitted(pane, stage.size);
  stage.view = kept(stage.view, pane, box);
  const transform = transformOf(stage.view, pane, box);
  for (const node of stage.area.querySelectorAll('.layer')) Object.assign(node.style, { width: `${box.width}px`, height: `${box.height}px`, transform });
  for (const node of stage.area.querySelectorAll('.frame, .handle')) node.style.height = `${pane.height}px`;
  for (const node of stage.area.querySelectorAll('.frame')) node.style.width = `${pane.width}px`;
  // Whole pictures are wiped from anywhere; where a drag moves the picture, the wipe keeps to its line.
  if (stage.slider) stage.slider.handle = String(stage.view.zoom > 1);
  stage.area.classList.toggle('is-zoomed', stage.view.zoom > 1);
  showPlace(pane, box);
  stage.onview();
}

function showPlace(pane, box) {
  stage.area.querySelectorAll('.place').forEach((node) => node.remove());
  if (!stage.place) return;
  const { place, view } = stage;
  const length = { x: box.width * view.zoom, y: box.height * view.zoom };
  for (const each of panes()) {
    const mark = el('div', { class: 'place' });
    Object.assign(mark.style, {
      left: `${pane.width / 2 + (place.x - view.x) * length.x}px`, top: `${pane.height / 2 + (place.y - view.y) * length.y}px`,
      width: `${place.width * length.x}px`, height: `${place.height * length.y}px`,
    });
    each.append(mark);
  }
}

/** Screen pixels per pixel of the picture, 1 being 100 %. */
const shownScale = () => (fitted(paneSize(), stage.size).width * stage.view.zoom * devicePixelRatio) / stage.size.width;

function setView(view) {
  stage.view = view;
  showView();
}

function zoomBy(factor, clientX, clientY) {
  const pane = paneSize();
  const under = panes().find((node) => {
    const place = node.getBoundingClientRect();
    return clientX >= place.left && clientX <= place.right && clientY >= place.top && clientY <= place.bottom;
  });
  const corner = under?.getBoundingClientRect();
  const at = corner ? { x: clientX - corner.left, y: clientY - corner.top } : { x: pane.width / 2, y: pane.height / 2 };
  setView(zoomedAt(stage.view, factor, at, pane, fitted(pane, stage.size)));
}

const moveBy = (dx, dy) => setView(movedBy(stage.view, dx, dy, fitted(paneSize(), stage.size)));

function goToPlace(place) {
  stage.place = place;
  setView({ zoom: Math.max(stage.view.zoom, 0.3 / Math.max(place.width, place.height)), x: place.x + place.width / 2, y: place.y + place.height / 2 });
  wipeTo(place.x + place.width / 2);
}

/** Put the wipe on a point of the picture, 0 to 1 from its left. */
function wipeTo(x) {
  const pane = paneSize();
  const box = fitted(pane, stage.size);
  moveWipe(50 + ((x - stage.view.x) * box.width * stage.view.zoom * 100) / pane.width - stage.wipe);
}

function startStage() {
  gestures(stage.area, { zoomBy, moveBy, free: (event) => stage.view.zoom > 1 && !isOnHandle(event) });
  stage.area.addEventListener('dblclick', (event) => {
    if (stage.view.zoom > 1) setView(WHOLE);
    else zoomBy(1 / shownScale(), event.clientX, event.clientY);
  });
  // A second finger means a pinch, of which the slider knows nothing.
  stage.area.addEventListener('touchmove', (event) => { if (event.touches.length > 1) event.stopPropagation(); }, { capture: true, passive: true });
  new ResizeObserver(showView).observe(stage.area);
}

function isOnHandle(event) {
  const place = stage.slider?.querySelector('.handle').getBoundingClientRect();
  return Boolean(place) && event.clientX >= place.left && event.clientX <= place.right;
}
