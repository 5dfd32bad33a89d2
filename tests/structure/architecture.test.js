// Every file and function that docs/architecture.md names exists.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const page = await readFile(join(TOP, 'docs/architecture.md'), 'utf8');
const tracked = execFileSync('git', ['ls-files'], { cwd: TOP, encoding: 'utf8' }).trim().split('\n');

// `path/file.rs:function`; a path may be cut short at its beginning, as the text around it says the rest.
const named = [...page.matchAll(/`([\w./-]+\.(?:rs|js|html|json))(?::([\w#]+))?`/g)];
const made = ['model.json'];

test('its files and functions exist', async () => {
  assert.ok(named.length > 60);
  for (const [text, path, name] of named) {
    const files = tracked.filter((file) => file === path || file.endsWith(`/${path}`));
    assert.ok(files.length > 0 || made.includes(path), `${text}: no such file`);
    if (!name) continue;
    const contents = await Promise.all(files.map((file) => readFile(join(TOP, file), 'utf8')));
    const defined = new RegExp(
      `(?:fn|function|struct|enum|const|typedef|async|^ {2}#?)\\s*${name}\\b|\\} ${name}\\b`,
      'm',
    );
    assert.ok(
      contents.some((content) => defined.test(content)),
      `${text}: not defined there`,
    );
  }
});
