// The server's pages in a real browser: what they show and do, by keyboard too, and that they ask nobody else for anything.
//
// Screenshots of each page, at two widths and in two colour schemes, are left in the folder that SCREENSHOTS names, if it does.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { PATIENCE, startServer, token } from '../typescript/server.js';
import { SCHEMES, SIZES, complaints, launch, mustBeAccessible, shoot } from './browser.js';

let browser;
let sandbox;
/** A server whose upstream issues no tokens to clients. */
let plain;

before(async () => {
  browser = await launch();
  sandbox = await startServer();
  plain = await startServer({ MCP__OAUTH__ENABLED: 'false' });
});

after(async () => {
  await browser?.close();
  await Promise.all([sandbox, plain].map((server) => server?.stop()));
});

/** Opens a page. Whatever it does, it may ask its own server alone, and must break no rule of its policy. */
async function open(server, path, use, options = {}) {
  const context = await browser.newContext({ viewport: SIZES.desktop, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  const faults = complaints(page);
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  try {
    await page.goto(`${server.url}${path}`);
    await use(page, asked, faults);
    assert.deepEqual(await page.evaluate(() => window.violations), [], 'the policy is broken');
    assert.deepEqual(faults, [], 'the browser complains');
    const foreign = asked.filter((url) => !url.startsWith(`${server.url}/`));
    assert.deepEqual(foreign, [], 'requests leave the host');
  } finally {
    await context.close();
  }
}

/** Shows every part of `/me` that there is. */
async function openApps(page, user = 'ann') {
  await page.getByLabel('Access token').fill(token(user));
  await page.getByRole('button', { name: 'Show apps' }).click();
  await page.getByText('Open one to see its tools').waitFor();
}

async function openSlack(page) {
  await openApps(page);
  await page.locator('summary', { hasText: 'Slack' }).click();
  await page.getByRole('button', { name: 'Try it: slack_list-channels' }).click();
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText('Its answer:').waitFor();
}

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of SCHEMES) {
    test(`the pages are accessible and fit on a ${size} in ${colorScheme}`, async () => {
      const pages = { front: '/', me: '/me', endpoint: '/mcp', 'front-plain': '/' };
      for (const [name, path] of Object.entries(pages)) {
        await open(name === 'front-plain' ? plain : sandbox, path, async (page) => {
          if (name === 'me') await openSlack(page);
          await mustBeAccessible(page, name);
          await shoot(page, `${name}-${size}-${colorScheme}`);
        }, { viewport, colorScheme });
      }
    });
  }
}

test('every snippet of every client can be copied, and holds address and token', async () => {
  await open(sandbox, '/', async (page) => {
    // Servers behind a proxy have the sandbox of another process, and no token of its guest.
    const isSandbox = (await page.locator('body.sandbox').count()) === 1;
    if (!isSandbox) await page.getByLabel('Access token').fill(token('ann'));
    const key = await page.getByLabel('Access token').inputValue();
    assert.equal(key.split('.').length, 3, 'the sandbox brings a token');
    const clients = await page.locator('.tabs label').allInnerTexts();
    assert.deepEqual(clients, ['Claude', 'Claude Code', 'Cursor', 'VS Code', 'ChatGPT', 'TypeScript', 'Python', 'curl']);
    for (const client of clients) {
      await page.locator('.tabs label').getByText(client, { exact: true }).click();
      const shown = page.locator('.snippet:visible');
      assert.ok((await shown.count()) > 0, client);
      for (const snippet of await shown.all()) {
        await snippet.getByRole('button').click();
        await page.getByText('Copied.', { exact: true }).waitFor();
        const copied = await page.evaluate(() => navigator.clipboard.readText());
        assert.ok(copied.includes(`${sandbox.url}/mcp`) && copied.includes(key), `${client}: ${copied}`);
        if (copied.startsWith('{')) JSON.parse(copied);
      }
    }
  }, { permissions: ['clipboard-read', 'clipboard-write'] });
});

test('a token that is typed stands in the snippets and the links, and is sent nowhere', async () => {
  await open(plain, '/', async (page, asked) => {
    await page.getByLabel('Access token').fill('');
    await page.getByLabel('Cursor').focus();
    await page.keyboard.press('Space');
    const link = page.getByRole('link', { name: 'Add to Cursor' });
    assert.equal(await link.count(), 0, 'a link would install what can not connect');
    const before = asked.length;
    await page.getByLabel('Access token').fill('a.typed.token');
    await page.getByRole('combobox', { name: 'Tools' }).selectOption('search');
    assert.equal(asked.length, before);
    const cursor = new URL(await link.getAttribute('href'));
    assert.equal(cursor.protocol, 'cursor:');
    const config = JSON.parse(Buffer.from(cursor.searchParams.get('config'), 'base64').toString());
    assert.deepEqual(config, {
      url: `${plain.url}/mcp?mode=search`,
      headers: { Authorization: 'Bearer a.typed.token' },
    });
    const snippet = JSON.parse(await page.locator('.snippet:visible code').innerText());
    assert.deepEqual(snippet.mcpServers['integration-app'], config);
    await page.locator('.tabs label').getByText('VS Code', { exact: true }).click();
    const code = await page.getByRole('link', { name: 'Add to VS Code' }).getAttribute('href');
    assert.ok(code.startsWith('vscode:mcp/install?'), code);
    const installed = JSON.parse(decodeURIComponent(code.split('?')[1]));
    assert.deepEqual(installed, { name: 'integration-app', type: 'http', ...config });
  });
});

test('where clients can sign in, snippets without a token are whole', async () => {
  await open(sandbox, '/', async (page) => {
    await page.getByLabel('Access token').fill('');
    for (const client of ['Claude', 'Cursor', 'VS Code']) {
      await page.locator('.tabs label').getByText(client, { exact: true }).click();
      for (const text of await page.locator('.snippet:visible code').allInnerTexts()) {
        assert.ok(!text.includes('TOKEN') && !text.includes('Bearer'), `${client}: ${text}`);
        if (text.startsWith('{')) JSON.parse(text);
      }
    }
    const link = page.getByRole('link', { name: 'Add to VS Code' });
    assert.ok(!decodeURIComponent(await link.getAttribute('href')).includes('headers'));
  });
});

test('clients are chosen by the arrow keys', async () => {
  await open(sandbox, '/', async (page) => {
    await page.getByRole('radio', { name: 'Claude', exact: true }).focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    assert.ok(await page.getByRole('radio', { name: 'Cursor' }).isChecked());
    assert.ok(await page.getByRole('link', { name: 'Add to Cursor' }).isVisible());
  });
});

test('without scripts every snippet is there to read', async () => {
  await open(plain, '/', async (page) => {
    assert.equal(await page.locator('.snippet:visible').count(), await page.locator('.snippet').count());
  }, { javaScriptEnabled: false }).catch((error) => {
    // Nothing can be evaluated there.
    if (!/violations|javaScript/i.test(error.message)) throw error;
  });
});

test('a user sees apps and tools, and tries one that reads, by keyboard alone', async () => {
  await open(sandbox, '/me', async (page, asked) => {
    await page.getByLabel('Access token').fill(token('ann'));
    await page.keyboard.press('Enter');
    await page.getByText('Open one to see its tools').waitFor();
    await page.locator('summary', { hasText: 'Slack' }).focus();
    await page.keyboard.press('Enter');
    const tool = page.locator('.tool', { hasText: 'slack_list-channels' });
    await tool.waitFor();
    assert.ok(await tool.getByText('reads', { exact: true }).isVisible());
    const writes = page.locator('.tool', { hasText: 'slack_send' }).first();
    assert.ok(await writes.getByText('writes', { exact: true }).isVisible());
    assert.equal(await writes.getByRole('button').count(), 0, 'nothing here writes');
    await tool.getByRole('button').focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Run' }).focus();
    await page.keyboard.press('Enter');
    const answer = page.getByRole('region', { name: 'Answer of slack_list-channels' });
    await answer.waitFor();
    assert.ok(JSON.parse(await answer.innerText()), 'its answer is shown');
    assert.ok(asked.every((url) => !url.includes(token('ann').split('.')[2])), 'no token is in a URL');
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.equal(kept, '[{},{},""]');
  });
});

test('a user with two accounts of an app sees both', async () => {
  await open(sandbox, '/me', async (page) => {
    await page.getByLabel('Access token').fill(token('two', ['gmail', 'gmail', 'slack']));
    await page.getByRole('button', { name: 'Show apps' }).click();
    await page.locator('summary', { hasText: 'Gmail' }).click();
    const accounts = page.locator('details', { hasText: 'Gmail' }).locator('li');
    await accounts.first().waitFor();
    assert.equal(await accounts.count(), 2);
    assert.equal(await accounts.getByText('default', { exact: true }).count(), 1);
    await page.locator('.tool', { hasText: 'gmail_' }).first().waitFor();
    await mustBeAccessible(page);
  });
});

test('a bad token is answered in words', async () => {
  await open(sandbox, '/me', async (page, _asked, faults) => {
    await page.getByLabel('Access token').fill('a.bad.token');
    await page.getByRole('button', { name: 'Show apps' }).click();
    await page.getByText(/That did not work: Unauthorized/).waitFor();
    // The browser tells of the 401 itself.
    faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes('401')));
  });
});
