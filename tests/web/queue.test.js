// Calls take turns, and photos that wait are read ahead by other workers; no browser needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ahead } from '../../www/library/ahead.js';
import { Queue } from '../../www/library/queue.js';

/** Until all that can go on has gone on. */
const settled = () => new Promise((resolve) => setTimeout(resolve));

test('calls run one after the other, heatmaps before photos that wait', async () => {
  const queue = new Queue();
  /** @type {string[]} */
  const order = [];
  let running = 0;
  const call = (/** @type {string} */ name, /** @type {boolean} */ soon = false, fails = false) =>
    queue
      .run(
        async () => {
          assert.equal((running += 1), 1);
          await settled();
          running -= 1;
          order.push(name);
          if (fails) throw new Error(name);
        },
        undefined,
        soon,
      )
      .catch(() => {});
  assert.equal(queue.busy, false);
  const calls = [call('a'), call('b', false, true), call('c'), call('map 1', true), call('map 2', true)];
  assert.equal(queue.busy, true);
  await Promise.all(calls);
  assert.deepEqual(order, ['a', 'map 1', 'map 2', 'b', 'c']);
  assert.equal(queue.busy, false);
});

test('a call that is given up while it waits does not run', async () => {
  const queue = new Queue();
  const controller = new AbortController();
  const first = queue.run(settled);
  const given = queue.run(() => assert.fail('it runs'), controller.signal);
  const last = queue.run(async () => 'last');
  controller.abort();
  await assert.rejects(given, { code: 'cancelled' });
  await first;
  assert.equal(await last, 'last');
  await assert.rejects(queue.run(settled, controller.signal), { code: 'cancelled' });
});

/** Workers whose photos are read when the test says so. */
class Workers {
  /** @type {{ alive: boolean }[]} */
  all = [];
  start = () => {
    const worker = {
      alive: true,
      started: Promise.resolve(),
      memory: { wasm: 50e6 },
      close() {
        worker.alive = false;
      },
    };
    this.all.push(worker);
    return /** @type {any} */ (worker);
  };
  get living() {
    return this.all.filter(({ alive }) => alive).length;
  }
}

/** @returns {{ read: import('../../www/library/ahead.js').Read, end: (error?: unknown) => void, began: () => boolean,
 *   worker: () => any }} */
function photo() {
  /** @type {any} */
  let worker;
  let end = (/** @type {unknown} */ _error) => {};
  /** @type {import('../../www/library/ahead.js').Read} */
  const read = (by) => {
    worker = by;
    return new Promise((resolve, reject) => {
      end = (error) => (error ? reject(error) : resolve(/** @type {any} */ ({ input: {} })));
    });
  };
  return { read, end: (error) => end(error), began: () => worker !== undefined, worker: () => worker };
}

/** @param {number} cores */
const cores = (cores) =>
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: cores }, configurable: true });

test('workers start where many bytes wait, read few photos ahead, and end when none waits', async () => {
  cores(2);
  const workers = new Workers();
  const ahead = new Ahead(workers.start);
  const photos = Array.from({ length: 8 }, photo);
  const places = photos.map(({ read }) => ahead.wait(0.6e6, 1e9, 20, read));
  const began = () => photos.map((photo) => Number(photo.began())).join('');
  assert.deepEqual([began(), workers.living], ['00000000', 2], 'until they have started, they read nothing');
  await settled();
  assert.equal(began(), '11000000');
  photos[0]?.end();
  photos[1]?.end();
  await settled();
  assert.equal(began(), '11110000', 'two that were read wait to be taken');
  photos[2]?.end();
  photos[3]?.end();
  await settled();
  assert.equal(began(), '11110000', 'no more are read ahead');
  assert.deepEqual(await places[0]?.take(), { input: {} });
  assert.equal(began(), '11111000');
  places[5]?.leave();
  places[6]?.leave();
  await places[1]?.take();
  assert.equal(began(), '11111001', 'what was given up is not read');
  for (const at of [4, 7]) photos[at]?.end();
  for (const at of [2, 3, 4, 7]) await places[at]?.take();
  assert.equal(workers.living, 2);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual([workers.living, ahead.memory], [0, 0]);
});

test('a little that waits, a single core, and a limit without room start no worker', async () => {
  for (const [count, bytes, room] of [
    [2, 0.2e6, 1e9],
    [1, 5e6, 1e9],
    [2, 5e6, 50e6],
  ]) {
    cores(count ?? 0);
    const workers = new Workers();
    const ahead = new Ahead(workers.start);
    const place = ahead.wait(bytes ?? 0, room ?? 0, 1, photo().read);
    assert.equal(workers.living, 0);
    assert.equal(await place.take(), null, 'the worker with the model has to read it');
  }
});

test('a worker that does not start holds up no photo', async () => {
  cores(2);
  const ahead = new Ahead(() => /** @type {any} */ ({ alive: false, started: Promise.resolve(), memory: null }));
  const places = Array.from({ length: 5 }, () => ahead.wait(2e6, 1e9, 1000, photo().read));
  await settled();
  for (const place of places) assert.equal(await place.take(), null);
});

test('what fails for its own reasons is not the photo’s failure', async () => {
  cores(4);
  const workers = new Workers();
  const ahead = new Ahead(workers.start);
  const photos = Array.from({ length: 4 }, photo);
  const places = photos.map(({ read }) => ahead.wait(2e6, 1e9, 1000, read));
  await settled();
  assert.equal(workers.living, 4);
  photos[0]?.end({ code: 'image-corrupt' });
  photos[1]?.end({ code: 'out-of-memory' });
  photos[2]?.worker().close();
  photos[2]?.end({ code: 'worker-crashed' });
  photos[3]?.end();
  await assert.rejects(async () => places[0]?.take(), { code: 'image-corrupt' });
  assert.equal(await places[1]?.take(), null);
  await assert.rejects(async () => places[2]?.take(), { code: 'worker-crashed' });
  assert.ok(await places[3]?.take());
  assert.equal(workers.living, 2, 'the two that failed are gone');
  ahead.close();
  assert.equal(workers.living, 0);
});
