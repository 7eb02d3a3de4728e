// Where two pictures differ most, found in their signatures: per cell, how bright and how busy it is.

const MOST_PLACES = 12;

function decoded([columns, rows, text]) {
  const bytes = bytesOf(text);
  return { columns, rows, at: (column, row, which) => bytes[(row * columns + column) * 2 + which] };
}

/** The places in which two signatures or more differ, worst first, as rectangles in coordinates from 0 to 1; neighbours count as one. */
function differences(...signatures) {
  const all = signatures.map(decoded);
  const [a] = all;
  const cells = [];
  for (let row = 0; row < a.rows; row += 1) {
    for (let column = 0; column < a.columns; column += 1) {
      const values = all.map((b) => {
        const across = Math.min(b.columns - 1, Math.floor(((column + 0.5) / a.columns) * b.columns));
        const down = Math.min(b.rows - 1, Math.floor(((row + 0.5) / a.rows) * b.rows));
        return [0, 1].map((which) => b.at(across, down, which));
      });
      const apart = [0, 1].map((which) => Math.max(...values.map((each) => each[which])) - Math.min(...values.map((each) => each[which])));
      cells.push({ row, column, score: apart[0] + apart[1] });
    }
  }
  cells.sort((x, y) => y.score - x.score);
  const places = [];
  for (const cell of cells) {
    const isNear = (place) => Math.abs(place.row - cell.row) <= 1 && Math.abs(place.column - cell.column) <= 1;
    if (cell.score > 0 && places.length < MOST_PLACES && !places.some(isNear)) places.push(cell);
  }
  return places.map(({ row, column, score }) => ({ x: column / a.columns, y: row / a.rows, width: 1 / a.columns, height: 1 / a.rows, score }));
}
