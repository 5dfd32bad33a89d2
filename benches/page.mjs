// engines, models → their times in one page of one Chromium, calls interleaved

import { createRequire } from 'node:module';
import { FLAGS } from '../tests/web/flags.js';
import { median, quantile } from './numbers.mjs';

/** Largest difference of two scores, as a share of the largest score. Unequal work is not compared. */
const TOLERANCE = 1e-3;
/** Runs that are not counted. */
const WARM = 4;

/** Runs in the page: a frame for each engine. */
async function begin(names) {
  const engines = new Map();
  for (const name of names) {
    const frame = Object.assign(document.createElement('iframe'), { src: '/' });
    await new Promise((resolve) => {
      frame.onload = resolve;
      document.body.append(frame);
    });
    const { ENGINES } = await frame.contentWindow.eval('import("/bench/engines.js")');
    const engine = ENGINES[name]();
    await engine.start();
    engines.set(name, engine);
  }
  globalThis.engines = engines;
}

/** Runs in the page. */
async function sideBySide({ files, rounds, warm, heatmap }) {
  const entries = [...globalThis.engines].map(([name, engine]) => ({ name, engine, times: [], heatmaps: [] }));
  // Ours last: what they measure once they are loaded must not be disturbed.
  for (const { engine } of entries.toSorted((a, b) => Boolean(a.engine.settle) - Boolean(b.engine.settle)))
    await engine.load(files);
  await Promise.all(entries.map(({ engine }) => engine.settle?.()));
  for (let round = -warm; round < rounds; round++) {
    for (const entry of entries) {
      const { scores, milliseconds } = await entry.engine.run();
      const explained = heatmap && (await entry.engine.explain?.());
      if (round >= 0) entry.times.push(milliseconds);
      if (round >= 0 && explained) entry.heatmaps.push(explained);
      entry.scores = [...scores];
    }
  }
  return entries.map(({ name, times, heatmaps, scores }) => ({ name, times, heatmaps, scores }));
}

/** Runs in a fresh page: ms from the navigation to the first prediction. */
async function cold({ name, files }) {
  const { ENGINES } = await import('/bench/engines.js');
  const engine = ENGINES[name]();
  await engine.start();
  if (engine.first) await engine.first(files);
  else {
    await engine.load(files);
    await engine.run();
  }
  return performance.now();
}

/** Runs in a fresh page. */
async function loaded({ name, files }) {
  const { ENGINES } = await import('/bench/engines.js');
  const engine = ENGINES[name]();
  await engine.start();
  const load = await engine.load(files);
  await engine.run();
  return { load, prepare: await engine.prepare?.(), memory: await engine.memory() };
}

/** Medians of what a page measured. */
function rows(results) {
  const reference = results.find(({ name }) => !name.startsWith('whylens')) ?? results[0];
  const largest = Math.max(...reference.scores.map(Math.abs));
  return results.map(({ name, times, heatmaps, scores }) => {
    const difference = Math.max(...scores.map((score, at) => Math.abs(score - reference.scores[at]))) / largest;
    if (!(difference <= TOLERANCE) || scores.length !== reference.scores.length)
      throw new Error(`the scores of ${name} and ${reference.name} differ by ${difference} of the largest`);
    const heat = heatmaps.length > 0 ? median(heatmaps) : undefined;
    const [p10, p90] = [quantile(times, 0.1), quantile(times, 0.9)];
    return { name, median: median(times), p10, p90, heatmap: heat, difference };
  });
}

export class Browser {
  #server;
  /** The page in which engines are compared, with a frame for each of these. */
  #beside = null;
  #names = null;

  constructor(server, browser) {
    this.#server = server;
    this.chromium = browser;
  }

  /** @param {string} packages folder of the node modules */
  static async open(server, packages) {
    const { chromium } = createRequire(`${packages}/`)('playwright-core');
    const more = process.env.CHROMIUM_FLAGS?.split(' ') ?? [];
    const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
    return new Browser(server, await chromium.launch({ executablePath, args: [...FLAGS, ...more] }));
  }

  async #page() {
    const page = await (await this.chromium.newContext()).newPage();
    await page.goto(this.#server.url);
    return page;
  }

  async #end() {
    await this.#beside?.context().close();
    this.#beside = null;
  }

  /** What a function gives in a fresh page. */
  async evaluate(task, argument) {
    await this.#end();
    const page = await this.#page();
    try {
      return await page.evaluate(`(${task})(${JSON.stringify(argument)})`);
    } finally {
      await page.context().close();
    }
  }

  /**
   * Times of engines beside each other, in the order of their names, all in one page.
   * @param {string[]} names
   * @param {import('./engines.js').Files} files
   */
  async compare(names, files, { rounds, heatmap = false }) {
    if (!this.#beside || this.#names !== names) {
      await this.#end();
      [this.#names, this.#beside] = [names, await this.#page()];
      await this.#beside.evaluate(`(${begin})(${JSON.stringify(names)})`);
    }
    try {
      const task = { files, rounds, warm: WARM, heatmap };
      return rows(await this.#beside.evaluate(`(${sideBySide})(${JSON.stringify(task)})`));
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  /** One engine in a fresh page: ms from the navigation to its first prediction, nothing cached. */
  cold(name, files) {
    return this.evaluate(cold, { name, files });
  }

  /** One engine in a fresh page: ms from bytes in memory to the end of the first run, and bytes of memory then. */
  load(name, files) {
    return this.evaluate(loaded, { name, files });
  }

  close() {
    return this.chromium.close();
  }
}
