// ResNet-50, dropped on the page with its default settings, is packed, loaded and used within the memory that is told

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { resnet } from '../web/resnet.js';
import { dropped } from './large.js';
import { place } from './visit.js';

/** What a run of it takes, and the modules beside it. */
const RUN = 20e6;

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

test(
  'a dropped ResNet-50 is packed and used, and takes no more memory than is told',
  { timeout: 300_000 },
  async () => {
    const { onnx, weights } = resnet();
    const { packing, packed, using, verdict, complaints } = await dropped(here, onnx);
    assert.ok(weights > 102e6, `${weights}`);
    assert.match(packed, /51(?:\.\d)? MB in FP16, from 102 MB.*top class is the same.*Grad-CAM/s);
    assert.match(verdict, /class \d+/i);
    assert.deepEqual(complaints, []);
    assert.ok(packing.peak <= 2.5 * weights + RUN, `${packing.peak} to pack`);
    assert.ok(using.peak <= 1.15 * (weights + RUN), `${using.peak} to load and run`);
  },
);
