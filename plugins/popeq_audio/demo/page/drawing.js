// Drawing: the plane with its density and points, and the curve with the fan of predicted curves.

const MARGIN = { left: 88, right: 20, top: 16, bottom: 66 };

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "soft", "card", "line", "accent", "point"].map((name) =>
    [name, style.getPropertyValue(`--${name}`).trim()]));
}

function inner(canvas) {
  return {
    left: MARGIN.left, top: MARGIN.top,
    width: canvas.width - MARGIN.left - MARGIN.right, height: canvas.height - MARGIN.top - MARGIN.bottom,
  };
}

export function toPlane(canvas, plane, event) {
  const box = canvas.getBoundingClientRect();
  const area = inner(canvas);
  const px = (event.clientX - box.left) * canvas.width / box.width - area.left;
  const py = (event.clientY - box.top) * canvas.height / box.height - area.top;
  const [xs, ys] = [plane.x_db, plane.y_db];
  const between = (low, high, share) => low + (high - low) * Math.min(1, Math.max(0, share));
  return [between(xs[0], xs.at(-1), px / area.width), between(ys.at(-1), ys[0], py / area.height)];
}

export function drawPlane(canvas, plane, state) {
  const context = canvas.getContext("2d");
  const c = colours();
  const area = inner(canvas);
  const { low_db: xLow, high_db: xHigh } = plane.x;
  const { low_db: yLow, high_db: yHigh } = plane.y;
  const at = ([x, y]) => [area.left + (x - xLow) / (xHigh - xLow) * area.width,
    area.top + (yHigh - y) / (yHigh - yLow) * area.height];
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (state.answer) drawDensity(context, area, state.answer.density, c.accent);
  context.strokeStyle = c.line;
  context.lineWidth = 2;
  context.strokeRect(area.left, area.top, area.width, area.height);
  context.setLineDash([4, 6]);
  if (xLow < 0 && xHigh > 0) line(context, [at([0, yLow]), at([0, yHigh])]);
  if (yLow < 0 && yHigh > 0) line(context, [at([xLow, 0]), at([xHigh, 0])]);
  context.setLineDash([]);
  labels(context, area, c, at, plane);
  context.fillStyle = c.soft;
  for (const point of state.listeners) dot(context, at(point), 6, null, c.ink);
  dot(context, at(state.point), 18, c.point, c.card); // below the modes: the number of the one it is at is seen
  (state.answer?.modes ?? []).forEach((mode, i) => {
    const [px, py] = at([mode.x_db, mode.y_db]);
    dot(context, [px, py], 13, c.card, c.accent);
    context.fillStyle = c.ink;
    context.font = "600 18px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText(String(i + 1), px, py + 6);
  });
}

function drawDensity(context, area, density, colour) {
  const n = density.length;
  context.fillStyle = colour;
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      context.globalAlpha = 0.75 * density[i][j];
      const [left, right] = [i, i + 1].map((k) => Math.round(area.left + k * area.width / n));
      const [top, bottom] = [n - 1 - j, n - j].map((k) => Math.round(area.top + k * area.height / n));
      context.fillRect(left, top, right - left, bottom - top); // whole pixels: no seams
    }
  }
  context.globalAlpha = 1;
}

// The ends of an axis, and 0 dB, or the middle where 0 is an end or outside; none so near that they touch.
function ticks({ low_db: low, high_db: high }) {
  const middle = low < 0 && high > 0 ? 0 : (low + high) / 2;
  const apart = Math.min(middle - low, high - middle) > (high - low) / 12;
  return apart ? [low, middle, high] : [low, high];
}

function labels(context, area, c, at, plane) {
  const [xs, ys] = [ticks(plane.x), ticks(plane.y)];
  const text = (value) => `${Number(value.toFixed(6))}`;
  context.fillStyle = c.soft;
  context.font = "20px system-ui, sans-serif";
  context.textAlign = "center";
  for (const x of xs) context.fillText(text(x), at([x, ys[0]])[0], area.top + area.height + 30);
  context.fillText(`${plane.x.name} (dB)`, area.left + area.width / 2, area.top + area.height + 56);
  context.textAlign = "right";
  for (const y of ys) context.fillText(text(y), area.left - 10, at([xs[0], y])[1] + 7);
  context.save();
  context.translate(18, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(`${plane.y.name} (dB)`, 0, 0);
  context.restore();
  context.font = "17px system-ui, sans-serif";
  context.strokeStyle = c.card; // an outline: the corners are read on any density
  context.lineWidth = 4;
  context.lineJoin = "round";
  for (const corner of plane.corners) {
    context.textAlign = corner.right ? "right" : "left";
    const place = [area.left + (corner.right ? area.width - 18 : 18),
      area.top + (corner.top ? 24 : area.height - 12), area.width / 2 - 20];
    context.strokeText(corner.text, ...place);
    context.fillText(corner.text, ...place);
  }
}

export function drawCurve(canvas, plane, state, curve) {
  const context = canvas.getContext("2d");
  const c = colours();
  const area = inner(canvas);
  const most = plane.most_db;
  const hz = plane.curve_hz;
  const at = (i, gain) => [area.left + i / (hz.length - 1) * area.width,
    area.top + (most - gain) / (2 * most) * area.height];
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = "18px system-ui, sans-serif";
  context.fillStyle = c.soft;
  context.strokeStyle = c.line;
  context.lineWidth = 1;
  for (const gain of [-1, -0.5, 0, 0.5, 1].map((share) => share * most)) {
    line(context, [at(0, gain), at(hz.length - 1, gain)]);
    context.textAlign = "right";
    context.fillText(`${gain}`, area.left - 8, at(0, gain)[1] + 6);
  }
  context.textAlign = "center";
  for (const [f, name] of [[20, "20"], [100, "100"], [1000, "1k"], [10000, "10k"], [20000, "20k"]]) {
    const share = Math.log(f / hz[0]) / Math.log(hz.at(-1) / hz[0]);
    context.fillText(name, area.left + share * area.width, area.top + area.height + 28);
  }
  context.fillText("frequency (Hz)", area.left + area.width / 2, area.top + area.height + 54);
  context.save();
  context.translate(18, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText("gain (dB)", 0, 0);
  context.restore();
  const fan = state.answer?.fan;
  if (fan) {
    for (const [low, high, alpha] of [["5", "95", 0.15], ["25", "75", 0.3]]) {
      context.globalAlpha = alpha;
      context.fillStyle = c.accent;
      context.beginPath();
      fan[low].forEach((g, i) => context.lineTo(...at(i, g)));
      [...fan[high].entries()].reverse().forEach(([i, g]) => context.lineTo(...at(i, g)));
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = c.accent;
    context.lineWidth = 2;
    line(context, fan["50"].map((g, i) => at(i, g)));
  }
  context.strokeStyle = c.point;
  context.lineWidth = 4;
  line(context, curve.map((g, i) => at(i, g)));
}

function line(context, points) {
  context.beginPath();
  for (const point of points) context.lineTo(...point);
  context.stroke();
}

function dot(context, [x, y], radius, fill, stroke) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) { context.fillStyle = fill; context.fill(); }
  context.strokeStyle = stroke;
  context.lineWidth = 3;
  context.stroke();
}
