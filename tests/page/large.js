// a large model, dropped on the page with its default settings → what it took, step by step

import { sample } from './visit.js';

/**
 * @typedef {{ live: number, peak: number, wasm: number }} Memory bytes in use in the worker, at most, and of its
 *   WebAssembly memory
 * @typedef {{ packing: Memory, packed: string, packSeconds: number, using: Memory, verdict: string }} Taken
 */

/**
 * Drops an ONNX file of 1000 classes on the page, packs and keeps it, and classifies a sample at the next visit.
 * @param {Awaited<ReturnType<typeof import('./visit.js').place>>} here
 * @param {Buffer} onnx
 * @returns {Promise<Taken & { complaints: string[] }>}
 */
export async function dropped(here, onnx) {
  here.server.put('/large/', { 'large.onnx': onnx });
  const { page, context, complaints } = await here.visit({
    query: '?preload=lazy',
    before: (page) =>
      page.addInitScript(() => {
        const Own = Worker;
        const seen = /** @type {Memory[]} */ ([]);
        globalThis.Worker = class extends Own {
          /** @param {ConstructorParameters<typeof Own>} given */
          constructor(...given) {
            super(...given);
            this.addEventListener('message', ({ data }) => data.memory && seen.push(data.memory));
          }
        };
        Object.assign(globalThis, { seen });
      }),
  });
  const memory = () => page.evaluate(() => /** @type {any} */ (globalThis).seen.at(-1));
  const data = await page.evaluateHandle(async () => {
    const data = new DataTransfer();
    data.items.add(new File([await (await fetch('/large/large.onnx')).blob()], 'large.onnx'));
    data.items.add(new File([Array.from({ length: 1000 }, (_, at) => `class ${at}\n`).join('')], 'labels.txt'));
    return data;
  });
  for (const event of ['dragenter', 'dragover', 'drop'])
    await page.dispatchEvent('main', event, { dataTransfer: data });
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form.getByLabel('Keep it on this device').check({ timeout: 120_000 });
  const began = Date.now();
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('“large” is checked, packed and in use.').waitFor({ timeout: 300_000 });
  const packSeconds = (Date.now() - began) / 1000;
  const packing = await memory();
  const packed = await form.locator('.facts').innerText();
  await page.reload();
  await page.locator('.model-button').click();
  await page.getByLabel('Models on this site').selectOption({ label: 'large' });
  await sample(page, 1);
  // Of random weights, a heatmap may be empty.
  const verdict = page.locator('.verdict', { hasText: /class \d+/i });
  await verdict.waitFor({ timeout: 60_000 });
  const said = await verdict.innerText();
  const using = await memory();
  await context.close();
  return { packing, packed, packSeconds, using, verdict: said, complaints };
}
