// The places in which pictures differ most, each cut out of all of them pixel by pixel, one below the other.

const MOST_CROPS = 6;
const LARGEST_CROP = 384; // CSS pixels

/** A part of a picture, its middle at a place; pictures of another size are scaled to that of the stage, as in the other views. */
function crop(shown, place, side) {
  const [width, height] = [stage.size.width, stage.size.height].map((length) => length / devicePixelRatio);
  const from = (middle, length, room) => (length <= room ? (room - length) / 2 : -clamp(middle * length - room / 2, 0, length - room));
  const onPixel = (offset) => Math.round(offset * devicePixelRatio) / devicePixelRatio;
  const image = el('img', { src: sourceOf(shown.picture.url), alt: `${shown.alt}, ${nameOfPlace(place)}`, draggable: 'false' });
  Object.assign(image.style, {
    width: `${width}px`, height: `${height}px`,
    left: `${onPixel(from(place.x + place.width / 2, width, side))}px`, top: `${onPixel(from(place.y + place.height / 2, height, side))}px`,
  });
  return el('div', { class: 'crop' }, image);
}

const nameOfPlace = (place) => `${Math.round((place.x + place.width / 2) * 100)} % from the left, ${Math.round((place.y + place.height / 2) * 100)} % from the top`;

function cropRows(pictures, places, side) {
  const goTo = (place) => {
    setMode('side');
    goToPlace(place);
  };
  return places.flatMap((place, index) => [
    button(`${index + 1}`, { class: 'plain', title: `${nameOfPlace(place)}: show it in the whole pictures`, 'aria-label': `Place ${index + 1}: show it in the whole pictures`, onclick: () => goTo(place) }),
    ...pictures.map((shown) => crop(shown, place, side)),
  ]);
}

/** The first places whose crops show something of their own. */
function apart(places, side) {
  const [width, height] = [stage.size.width, stage.size.height].map((length) => length / devicePixelRatio / side);
  const found = [];
  for (const place of places) {
    const overlaps = (other) => Math.hypot((place.x - other.x) * width, (place.y - other.y) * height) < 0.6;
    if (found.length < MOST_CROPS && !found.some(overlaps)) found.push(place);
  }
  return found;
}

/** Fill the stage with crops once it is known where; `find` returns the places. */
async function showCrops(pictures, find) {
  const table = el('div', { class: 'crops', tabindex: 0 });
  // On this part of the stage the wheel and a finger scroll.
  for (const name of ['wheel', 'pointerdown', 'dblclick']) table.addEventListener(name, (event) => event.stopPropagation());
  stage.area.dataset.mode = 'crops';
  stage.area.replaceChildren(table);
  const places = await find();
  if (!table.isConnected) return; // the reader has gone on
  const room = Math.floor((table.clientWidth - 62) / pictures.length) - 8;
  const [long, short] = [Math.max, Math.min].map((of) => of(stage.size.width, stage.size.height) / devicePixelRatio);
  // Of a small picture a crop is a third.
  const side = Math.round(Math.min(clamp(room, 96, LARGEST_CROP), Math.max(96, long / 3), Math.max(96, short)));
  table.style.setProperty('--side', `${side}px`);
  table.style.setProperty('--across', pictures.length);
  const heads = [el('span'), ...pictures.map((shown) => el('span', { class: 'crop-name' }, isolated(shown.name)))];
  table.append(...(places.length ? [...heads, ...cropRows(pictures, apart(places, side), side)] : [el('p', { class: 'nothing' }, 'No difference was found.')]));
}
