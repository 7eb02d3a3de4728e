// The view of a picture: which point is in the middle and how large it is; and the gestures that change it.
// All panes share one view, so that they move in step. Written out rather than taken from a library, for such a view lives in the
// picture's own coordinates (0 to 1), which stay right when the window, the mode or the picture changes.

const MOST_ZOOM = 60;
const WHOLE = { zoom: 1, x: 0.5, y: 0.5 };

/** The size at which a picture just fits into a pane, in CSS pixels, and the least zoom. */
function fitted(pane, size) {
  const scale = Math.min(pane.width / size.width, pane.height / size.height);
  // Small pictures may be shown at 100 %, smaller than the pane.
  return { width: size.width * scale, height: size.height * scale, least: Math.min(1, 1 / (scale * devicePixelRatio)) };
}

/** Keep the picture in the pane: no gap beside it unless it is smaller. */
function kept(view, pane, box) {
  const zoom = clamp(view.zoom, box.least, MOST_ZOOM);
  const along = (middle, room, length) => {
    const half = room / (2 * length * zoom);
    return half >= 0.5 ? 0.5 : clamp(middle, half, 1 - half);
  };
  return { zoom, x: along(view.x, pane.width, box.width), y: along(view.y, pane.height, box.height) };
}

const transformOf = (view, pane, box) =>
  `translate(${pane.width / 2 - view.x * box.width * view.zoom}px, ${pane.height / 2 - view.y * box.height * view.zoom}px) scale(${view.zoom})`;

/** Zoom so that the point of the picture that lies at `at`, in pixels from the pane's corner, stays there. */
function zoomedAt(view, factor, at, pane, box) {
  const zoom = clamp(view.zoom * factor, box.least, MOST_ZOOM);
  const along = (middle, point, room, length) => middle + ((point - room / 2) / length) * (1 / view.zoom - 1 / zoom);
  return { zoom, x: along(view.x, at.x, pane.width, box.width), y: along(view.y, at.y, pane.height, box.height) };
}

const movedBy = (view, dx, dy, box) => ({ zoom: view.zoom, x: view.x - dx / (box.width * view.zoom), y: view.y - dy / (box.height * view.zoom) });

/** Turn wheel, drag and pinch into calls: `zoomBy(factor, clientX, clientY)`, `moveBy(dx, dy)`. `free(event)`: whether one finger may drag. */
function gestures(area, { zoomBy, moveBy, free }) {
  const pressed = new Map();
  let drags = false;
  const middle = () => {
    const points = [...pressed.values()];
    const x = points.reduce((sum, point) => sum + point.x, 0) / points.length;
    const y = points.reduce((sum, point) => sum + point.y, 0) / points.length;
    return { x, y, apart: points.length > 1 ? Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y) : 0 };
  };
  area.addEventListener('wheel', (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    zoomBy(Math.exp(clamp(-pixels, -240, 240) * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
  }, { passive: false });
  area.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    pressed.set(event.pointerId, { x: event.clientX, y: event.clientY });
    drags = pressed.size > 1 || free(event);
  });
  area.addEventListener('pointermove', (event) => {
    if (!pressed.has(event.pointerId)) return;
    const before = middle();
    pressed.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (!drags) return;
    const after = middle();
    moveBy(after.x - before.x, after.y - before.y);
    if (before.apart && after.apart) zoomBy(after.apart / before.apart, after.x, after.y);
  });
  for (const end of ['pointerup', 'pointercancel', 'pointerleave']) area.addEventListener(end, (event) => pressed.delete(event.pointerId));
}
