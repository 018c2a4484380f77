// Draws the two PNG images of the demo page. Run once: node demo/make-images.mjs

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

/** Dusk over a river: the hour in which mayflies swarm. */
function river(x, y) {
  const horizon = 0.56;
  const sun = { x: 0.68, y: 0.47 };
  const below = y > horizon;
  // The water mirrors the sky, shaken by ripples that grow towards the viewer.
  const depth = (y - horizon) / (1 - horizon);
  const shake = below ? Math.sin(y * 260 - x * 9) * 0.012 * (0.3 + depth) + Math.sin(y * 97 + x * 31) * 0.01 : 0;
  const skyX = x + shake * 3;
  const skyY = below ? horizon - depth * horizon * 0.9 + shake : y;
  const height = skyY / horizon;
  let color = mix([24, 36, 74], [247, 170, 108], Math.min(1, Math.max(0, height)) ** 1.7);
  const distance = Math.hypot((skyX - sun.x) * 1.6, skyY - sun.y);
  color = mix(color, [255, 226, 168], Math.exp(-distance * 7));
  if (distance < 0.055) {
    color = [255, 244, 214];
  }
  const hill = 0.5 + 0.035 * Math.sin(skyX * 5 + 1) + 0.02 * Math.sin(skyX * 13) + 0.008 * Math.sin(skyX * 41);
  if (skyY > hill) {
    color = mix([28, 40, 52], [66, 60, 66], Math.exp(-distance * 5));
  }
  if (below) {
    const glint = Math.max(0, Math.sin(y * 330 + Math.sin(x * 25) * 2)) * Math.exp(-(((x - sun.x) * 7) ** 2));
    color = mix(mix(color, [14, 34, 48], 0.25 + 0.25 * depth), [255, 222, 160], 0.55 * glint);
  }
  return swarm(x, y, color);
}

const flies = Array.from({ length: 26 }, (_, i) => ({
  x: 0.06 + 0.88 * random(i * 3.1),
  y: 0.08 + 0.4 * random(i * 7.7 + 2),
  size: 0.006 + 0.012 * random(i * 5.3 + 1),
  tilt: random(i * 11.9) - 0.5,
}));

function swarm(x, y, color) {
  for (const fly of flies) {
    const dx = (x - fly.x) / fly.size;
    const dy = ((y - fly.y) / fly.size) * 0.625;
    if (Math.abs(dx) > 3 || Math.abs(dy) > 3) {
      continue;
    }
    const u = dx * Math.cos(fly.tilt) - dy * Math.sin(fly.tilt);
    const v = dx * Math.sin(fly.tilt) + dy * Math.cos(fly.tilt);
    const body = Math.abs(u) < 0.13 && v > -0.7 && v < 1.9;
    const wing = ((Math.abs(u) - 0.75) / 0.7) ** 2 + ((v + 0.55 + 0.3 * Math.abs(u)) / 0.42) ** 2 < 1;
    if (body) {
      return [20, 26, 34];
    }
    if (wing) {
      return mix(color, [255, 240, 214], 0.55);
    }
  }
  return color;
}

/** A wing under the microscope: veins are the borders of cells, with the colours of thin films between them. */
function createWing() {
  const cells = Array.from({ length: 150 }, (_, i) => {
    const along = random(i * 2.17);
    return { x: along * 1.05, y: 0.12 + 0.76 * random(i * 9.31 + 4), stretch: 0.35 + 0.3 * along };
  });
  return (x, y) => {
    const edge = 0.40 * Math.sqrt(Math.max(0, 1 - ((x - 0.5) / 0.47) ** 2)) * (0.55 + 0.45 * x);
    const across = Math.abs(y - 0.5 - 0.03 * Math.sin(x * 3));
    const inside = edge - across;
    const ground = mix([11, 30, 33], [22, 62, 63], 1 - y);
    if (inside < 0) {
      return mix(ground, [160, 226, 210], 0.5 * Math.exp(inside * 60));
    }
    let first = 9;
    let second = 9;
    let nearest = 0;
    for (let i = 0; i < cells.length; i++) {
      const distance = Math.hypot((x - cells[i].x) * cells[i].stretch * 2.2, y - cells[i].y);
      if (distance < first) {
        second = first;
        first = distance;
        nearest = i;
      } else if (distance < second) {
        second = distance;
      }
    }
    const phase = x * 5 + y * 3 + 0.7 * random(nearest * 4.7);
    const film = [
      150 + 70 * Math.sin(phase * 2.1),
      196 + 44 * Math.sin(phase * 2.1 + 2),
      190 + 52 * Math.sin(phase * 2.1 + 4),
    ];
    const light = mix(film, [240, 252, 246], 0.25 + 0.2 * Math.sin(x * 7 + y * 2));
    const vein = Math.exp(-(second - first) * 190) + 1.2 * Math.exp(-inside * 120) + rib(x, y);
    return mix(light, [30, 58, 54], Math.min(0.92, vein));
  };
}

/** The strong lengthwise veins, which fan out from the root. */
function rib(x, y) {
  let darkest = 0;
  for (let i = -3; i <= 3; i++) {
    const line = 0.5 + i * 0.052 * Math.sqrt(x) * (1 + 0.5 * x);
    darkest = Math.max(darkest, 0.8 * Math.exp(-(((y - line) * 230) ** 2)));
  }
  return darkest;
}

function mix(a, b, amount) {
  const t = Math.min(1, Math.max(0, amount));
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

function random(seed) {
  const value = Math.sin(seed * 127.1 + 311.7) * 43758.5453;
  return value - Math.floor(value);
}

/** A truecolour PNG of what `paint` answers at each point; 2 × 2 samples per pixel. */
function draw(width, height, paint) {
  const raw = Buffer.alloc(height * (1 + width * 3));
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const sum = [0, 0, 0];
      for (const [dx, dy] of [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]) {
        const color = paint((column + dx) / width, (row + dy) / height);
        for (let i = 0; i < 3; i++) {
          sum[i] += color[i];
        }
      }
      for (let i = 0; i < 3; i++) {
        // Few levels per channel compress well and still look smooth.
        raw[row * (1 + width * 3) + 1 + column * 3 + i] = Math.min(255, Math.round(sum[i] / 16) * 4);
      }
    }
  }
  return encode(width, height, subtractLeft(raw, width, height));
}

function subtractLeft(raw, width, height) {
  const stride = 1 + width * 3;
  const out = Buffer.alloc(raw.length);
  for (let row = 0; row < height; row++) {
    out[row * stride] = 1;
    for (let i = 1; i < stride; i++) {
      const left = i > 3 ? raw[row * stride + i - 3] : 0;
      out[row * stride + i] = raw[row * stride + i] - left;
    }
  }
  return out;
}

function encode(width, height, filtered) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(filtered, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

const folder = join(import.meta.dirname, 'images');
writeFileSync(join(folder, 'river.png'), draw(720, 450, river));
writeFileSync(join(folder, 'wing.png'), draw(720, 450, createWing()));
