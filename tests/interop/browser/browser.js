// The real browser, and what every page of the server must be in it.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { chromium } from 'playwright-core';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const SIZES = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 900 } };
export const SCHEMES = ['light', 'dark'];

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Root can't have Chromium's own sandbox; the pages are our own.
    args: ['--no-sandbox', '--disable-background-networking'],
  });
}

/** What the browser complains of on a page from now on. */
export function complaints(page) {
  const faults = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  return faults;
}

/** What axe finds must be nothing, and nothing may be wider than the window. The script of axe comes from the test. */
export async function mustBeAccessible(page, name = 'the page') {
  // In the browser's own world, where the page's policy does not hold.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`);
  assert.deepEqual(told, [], name);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide`);
}

/** Leaves a screenshot in the folder that SCREENSHOTS names, if it does. */
export async function shoot(page, name) {
  if (process.env.SCREENSHOTS) {
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
  }
}
