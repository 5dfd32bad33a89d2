// Layer 1 of the guard, alone: who waits, who gives up, what is shared.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Guard } from '../../www/library/guard.js';

/** Work that is ended by hand. */
function work() {
  /** @type {{ started: number, stopped: number, resolve: (value: number) => void, reject: (error: Error) => void }} */
  const hand = { started: 0, stopped: 0, resolve: () => {}, reject: () => {} };
  /** @param {AbortSignal} signal @returns {Promise<number>} */
  const run = (signal) => {
    hand.started += 1;
    signal.addEventListener('abort', () => (hand.stopped += 1));
    return new Promise((resolve, reject) => Object.assign(hand, { resolve, reject }));
  };
  return { hand, run };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

test('callers without a signal get the same promise, and the work runs once', async () => {
  const [guard, { hand, run }] = [new Guard(), work()];
  const promises = Array.from({ length: 20 }, () => guard.join(run));
  assert.equal(new Set(promises).size, 1);
  await turn();
  hand.resolve(7);
  assert.deepEqual(await Promise.all(promises), Array(20).fill(7));
  assert.deepEqual([hand.started, guard.busy], [1, false]);
});

test('the guard is set before any of the work runs', () => {
  const [guard, { hand, run }] = [new Guard(), work()];
  guard.join(run);
  assert.deepEqual([guard.busy, hand.started], [true, 0]);
});

test('a failure reaches everybody and clears the guard', async () => {
  const [guard, { hand, run }] = [new Guard(), work()];
  const signal = new AbortController().signal;
  const both = [guard.join(run), guard.join(run, signal)].map((promise) => promise.catch((error) => error.message));
  await turn();
  hand.reject(new Error('gone'));
  assert.deepEqual(await Promise.all(both), ['gone', 'gone']);
  assert.equal(guard.busy, false);
  guard.join(run);
  await turn();
  assert.equal(hand.started, 2);
});

test('work that throws at once is a failure like any other', async () => {
  const guard = new Guard();
  await assert.rejects(
    guard.join(() => {
      throw new Error('at once');
    }),
    /at once/,
  );
  assert.equal(guard.busy, false);
});

test('one of several giving up does not stop the others', async () => {
  const [guard, { hand, run }, controller] = [new Guard(), work(), new AbortController()];
  const first = guard.join(run, controller.signal);
  const second = guard.join(run, new AbortController().signal);
  await turn();
  controller.abort();
  await assert.rejects(first, { code: 'cancelled' });
  assert.equal(hand.stopped, 0);
  hand.resolve(1);
  assert.equal(await second, 1);
});

test('the last one giving up stops the work, and the next caller starts again', async () => {
  const [guard, { hand, run }] = [new Guard(), work()];
  const controllers = [new AbortController(), new AbortController()];
  const waiting = controllers.map(({ signal }) => guard.join(run, signal).catch((error) => error.code));
  await turn();
  for (const controller of controllers) controller.abort();
  assert.deepEqual(await Promise.all(waiting), ['cancelled', 'cancelled']);
  assert.deepEqual([hand.stopped, guard.busy], [1, false]);
  const next = guard.join(run);
  await turn();
  hand.resolve(2);
  assert.equal(await next, 2);
});

test('a signal that is aborted already starts nothing', async () => {
  const [guard, { hand, run }] = [new Guard(), work()];
  await assert.rejects(guard.join(run, AbortSignal.abort()), { code: 'cancelled' });
  await turn();
  assert.deepEqual([hand.started, guard.busy], [0, false]);
});
