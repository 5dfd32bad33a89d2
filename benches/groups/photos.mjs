// a batch of large photos, all handed over at once → how many a second are classified; WHYLENS_WWW: another version's www/

import { median } from '../numbers.mjs';

const [COUNT, WIDTH, HEIGHT] = [200, 4000, 3000];
/** Photos that differ; the others repeat them. */
const KINDS = 10;

/** Runs in the page. */
async function batch({ count, kinds, width, height }) {
  const { load } = await import('/www/whylens.js');
  const classifier = await load('/shipped/model.json', { preload: 'eager' });
  const source = await createImageBitmap(await (await fetch('/photos/coffee.png')).blob());
  const photos = [];
  for (let kind = 0; kind < kinds; kind++) {
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext('2d');
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(source, -10 * kind, 0, width + 100, height);
    // The grain of a sensor, without which a file is smaller than a camera's.
    const strip = pen.createImageData(width, 64);
    for (let at = 0; at < strip.data.length; at += 4)
      strip.data.set([Math.random() * 255, Math.random() * 255, Math.random() * 255, 40], at);
    const grain = await createImageBitmap(strip);
    for (let y = 0; y < height; y += 64) pen.drawImage(grain, 0, y);
    photos.push(await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 }));
  }
  for (const photo of photos.slice(0, 3)) await classifier.classify(photo, { heatmap: false });
  const start = performance.now();
  const results = await Promise.all(
    Array.from({ length: count }, (_, n) => classifier.classify(photos[n % kinds], { heatmap: false })),
  );
  const seconds = (performance.now() - start) / 1000;
  const { memory, threads } = await classifier.health({ verbose: true });
  const timings = results.map(({ timing }) => timing);
  return { bytes: photos[0].size, seconds, memory: memory.wasm, threads, timings };
}

export async function measure({ browser }) {
  const told = { count: COUNT, kinds: KINDS, width: WIDTH, height: HEIGHT };
  const { timings, ...seen } = await browser.evaluate(batch, told);
  const [decode, resize, inference] = ['decode', 'preprocess', 'inference'].map((key) =>
    median(timings.map((timing) => timing[key])),
  );
  const result = { ...seen, rate: COUNT / seen.seconds, decode, resize, inference };
  console.log(`${COUNT} photos in ${seen.seconds.toFixed(1)} s`);
  return result;
}

export function table(runs) {
  const all = (pick) => runs.map(pick).join(', ');
  const cells = [
    all(({ rate }) => rate.toFixed(2)),
    ...['decode', 'resize', 'inference'].map((key) => all((run) => run[key].toFixed(0))),
    all(({ memory }) => (memory / 1e6).toFixed(0)),
  ];
  return [
    `| ${COUNT} photos of ${(WIDTH * HEIGHT) / 1e6} MP, ${(runs[0].bytes / 1e6).toFixed(1)} MB each: a second | decode, ms | resize, ms | inference, ms | wasm MB |`,
    '|---|---|---|---|---|',
    `| ${cells.join(' | ')} |`,
  ].join('\n');
}
