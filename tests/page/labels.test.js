// models of very many classes: every class shows its value

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MANY, labelOf, manyClasses } from './many.js';
import { place } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
  for (const activation of /** @type {const} */ (['softmax', 'none']))
    here.server.put(`/models/many-${activation}/`, manyClasses(activation));
});
after(() => here?.close());

for (const activation of ['softmax', 'none'])
  test(`${activation}: each of 21,841 classes shows its value, the highest first`, async () => {
    const { page, context, complaints } = await here.visit({
      query: `?model=/models/many-${activation}/`,
      viewport: { width: 320, height: 700 },
    });
    await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
    await page.locator('.sample').nth(1).click();
    await page.locator('.verdict', { hasText: /class \d+/i }).waitFor({ timeout: 60_000 });
    // The library's own list of all classes, best first.
    const expected = await page.evaluate(async (url) => {
      const { load } = await import(/** @type {any} */ ('/www/whylens.js'));
      const made = await load(url);
      const photo = await (await fetch('/www/samples/coffee.jpg')).blob();
      const { predictions } = await made.classify(photo, { topK: 21_841, heatmap: false });
      return predictions.map((/** @type {any} */ { index, probability }) => ({ index, probability }));
    }, `/models/many-${activation}/`);
    assert.equal(expected.length, MANY);
    const search = page.getByRole('searchbox');
    for (const wanted of ['class 2184', 'class 21840', 'words']) {
      await search.fill(wanted);
      const fits = expected.filter((/** @type {any} */ { index }) => labelOf(index).includes(wanted));
      await page.locator('.found', { hasText: fits.length === 1 ? '1 class' : `${fits.length} classes` }).waitFor();
      const shown = await page.locator('.class').allInnerTexts();
      assert.equal(shown.length, Math.min(10, fits.length));
      for (const [at, text] of shown.entries()) {
        assert.match(text, new RegExp(`^class ${fits[at].index},`), `${wanted}: ${at}`);
        assert.match(text, activation === 'none' ? /[-−]?\d+\.\d\d$/ : /%$/);
      }
    }
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
    assert.deepEqual(complaints, []);
    await context.close();
  });
