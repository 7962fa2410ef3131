// Sound: biquads whose gains follow the point, and a level that keeps every setting equally loud.

const TYPES = { low_shelf: "lowshelf", peak: "peaking", high_shelf: "highshelf" };
const SMOOTH_S = 0.015;

export const toGain = (db) => 10 ** (db / 20);

// The server's table of band gains over the plane, interpolated.
export function bandGains(plane, [x, y]) {
  const place = (axis, value) => {
    const step = (axis.at(-1) - axis[0]) / (axis.length - 1);
    const i = Math.min(axis.length - 2, Math.max(0, Math.floor((value - axis[0]) / step)));
    return [i, (value - axis[i]) / step];
  };
  const [i, a] = place(plane.x_db, x);
  const [j, b] = place(plane.y_db, y);
  const g = plane.gains_db;
  return plane.bands.map((_, k) => (1 - a) * ((1 - b) * g[i][j][k] + b * g[i][j + 1][k])
    + a * ((1 - b) * g[i + 1][j][k] + b * g[i + 1][j + 1][k]));
}

export class Player {
  constructor(config) {
    this.config = config;
    this.context = new AudioContext({ sampleRate: config.rate_hz });
    this.filters = config.plane.bands.map((band) => new BiquadFilterNode(this.context, {
      type: TYPES[band.kind], frequency: band.frequency_hz, Q: band.q, gain: 0,
    }));
    this.level = new GainNode(this.context);
    const master = new GainNode(this.context, { gain: toGain(-config.plane.loudest_db) });
    const chain = [...this.filters, this.level, master, this.context.destination];
    chain.slice(1).forEach((node, i) => chain[i].connect(node));
    this.hz = Float32Array.from(config.plane.curve_hz);
    this.power = this.hz.map(() => 1);
    this.gains = this.filters.map(() => 0);
    this.source = null;
    this.buffer = null;
  }

  // Set the gains of the bands, at once but without a click.
  set(gains) {
    this.gains = gains;
    const level = this.matchedLevel(this.response(gains));
    const now = this.context.currentTime;
    const running = this.context.state === "running";
    const put = (param, value) => {
      param.cancelScheduledValues(now);
      if (running) param.setTargetAtTime(value, now, SMOOTH_S); else param.value = value;
    };
    this.filters.forEach((filter, k) => put(filter.gain, gains[k]));
    put(this.level.gain, level);
  }

  // Gain in dB at each frequency of the graph's own filters, as the browser computes it for those gains.
  response(gains) {
    const total = new Float32Array(this.hz.length);
    const [magnitude, phase] = [new Float32Array(this.hz.length), new Float32Array(this.hz.length)];
    this.probe ??= this.filters.map((f) => new BiquadFilterNode(new OfflineAudioContext(1, 1, this.config.rate_hz),
      { type: f.type, frequency: f.frequency.value, Q: f.Q.value }));
    this.probe.forEach((filter, k) => {
      filter.gain.value = gains[k];
      filter.getFrequencyResponse(this.hz, magnitude, phase);
      magnitude.forEach((m, i) => { total[i] += 20 * Math.log10(m); });
    });
    return total;
  }

  // Loudness (K-weighted power of this track) before over after.
  matchedLevel(response) {
    let before = 0;
    let after = 0;
    this.power.forEach((p, i) => { before += p; after += p * 10 ** (response[i] / 10); });
    return Math.sqrt(before / after);
  }

  async load(bytes) {
    const buffer = await this.context.decodeAudioData(bytes);
    this.stop();
    this.buffer = buffer;
    this.power = weightedPower(buffer, this.hz, this.config.weighting_db);
    this.set(this.gains);
  }

  async play() {
    await this.context.resume();
    this.stop();
    this.source = new AudioBufferSourceNode(this.context, { buffer: this.buffer, loop: true });
    this.source.connect(this.filters[0]);
    this.source.start();
  }

  stop() {
    this.source?.stop();
    this.source?.disconnect();
    this.source = null;
  }

  get playing() { return this.source !== null; }
}

// Mean power of a track around each frequency, with the weighting of BS.1770.
function weightedPower(buffer, hz, weighting) {
  const size = 8192;
  const data = buffer.getChannelData(0);
  const power = new Float64Array(size / 2);
  const frames = Math.min(60, Math.max(1, Math.floor(data.length / size)));
  for (let f = 0; f < frames; f += 1) {
    const start = Math.floor(f * Math.max(0, data.length - size) / frames);
    const re = new Float64Array(size);
    for (let i = 0; i < size; i += 1) {
      re[i] = (data[start + i] ?? 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / size));
    }
    const im = new Float64Array(size);
    transform(re, im);
    for (let i = 0; i < size / 2; i += 1) power[i] += re[i] * re[i] + im[i] * im[i];
  }
  const bands = new Float64Array(hz.length);
  const [low, high] = [Math.log(hz[0]), Math.log(hz.at(-1))];
  for (let i = 1; i < size / 2; i += 1) {
    const k = Math.round((Math.log(i * buffer.sampleRate / size) - low) / (high - low) * (hz.length - 1));
    if (k >= 0 && k < hz.length) bands[k] += power[i];
  }
  const total = bands.reduce((a, b) => a + b, 0);
  return total > 0 ? bands.map((p, k) => p * 10 ** (weighting[k] / 10)) : bands.map(() => 1);
}

// In-place radix-2 Fourier transform.
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let length = 2; length <= n; length <<= 1) {
    const angle = -2 * Math.PI / length;
    for (let i = 0; i < n; i += length) {
      for (let k = 0; k < length / 2; k += 1) {
        const [c, s] = [Math.cos(angle * k), Math.sin(angle * k)];
        const [p, q] = [i + k, i + k + length / 2];
        const [xr, xi] = [re[q] * c - im[q] * s, re[q] * s + im[q] * c];
        [re[q], im[q]] = [re[p] - xr, im[p] - xi];
        [re[p], im[p]] = [re[p] + xr, im[p] + xi];
      }
    }
  }
}
