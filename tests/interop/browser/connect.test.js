// The way of a user from a link in a chat to a connected app, in a real browser.
//
// Screenshots of the page, at two widths and in two colour schemes, are left in the folder that SCREENSHOTS names, if it does.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { PATIENCE, startServer, token } from '../typescript/server.js';
import { SCHEMES, SIZES, complaints, launch, mustBeAccessible, shoot } from './browser.js';

const VERSION = '2026-07-28';

let browser;
let server;
before(async () => {
  browser = await launch();
  server = await startServer();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Calls `connect-app`, and gives the text of its answer. */
async function connect(bearer, args) {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': VERSION,
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const response = await fetch(`${server.url}/mcp?mode=search`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${bearer}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': VERSION,
      'mcp-method': 'tools/call',
      'mcp-name': 'connect-app',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'connect-app', arguments: args, _meta: meta },
    }),
  });
  const text = await response.text();
  const message = text.startsWith('{') ? text : text.split('\n').filter((line) => line.startsWith('data: {')).at(-1).slice(6);
  return JSON.parse(message).result.content[0].text;
}

/** The token of a user who has signed in by OAuth, the way that clients go. */
async function signIn() {
  const verifier = randomBytes(32).toString('base64url');
  const { authorization_endpoint, token_endpoint } = await metadata();
  const page = new URL(authorization_endpoint);
  page.search = new URLSearchParams({
    response_type: 'code',
    client_id: 'a client of the tests',
    redirect_uri: 'http://localhost/back',
    scope: 'tenant',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  let back = page;
  while (back.pathname !== '/back') {
    const response = await fetch(back, { redirect: 'manual' });
    back = new URL(response.headers.get('location'), back);
  }
  const form = { grant_type: 'authorization_code', code: back.searchParams.get('code'), code_verifier: verifier };
  const response = await fetch(token_endpoint, { method: 'POST', body: new URLSearchParams(form) });
  return (await response.json()).access_token;
}

/** Where tokens are to be had, once the server has found that out. */
async function metadata() {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await setTimeout(50)) {
    const response = await fetch(`${server.url}/.well-known/oauth-authorization-server`);
    if (response.ok) return response.json();
  }
  throw new Error('no way to a token is offered');
}

/** Opens a link that a user is given, and uses the page. The browser must have nothing to complain of. */
async function open(user, options, use, bearer = token(user, ['gmail'])) {
  const told = await connect(bearer, { app: 'notion' });
  const link = told.split('\n').find((line) => line.startsWith('http'));
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = complaints(page);
  try {
    await page.goto(link);
    await use(page, bearer, link, context);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
}

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of SCHEMES) {
    test(`a user goes from the link to a connected app, on a ${size} in ${colorScheme}`, async () => {
      // Without scripts, which no page on the way needs.
      const options = { viewport, colorScheme, javaScriptEnabled: false };
      await open(`ann-${size}-${colorScheme}`, options, async (page, bearer, link, context) => {
        await page.getByRole('heading', { name: 'Connect Notion' }).waitFor();
        await page.getByText(`ann-${size}-${colorScheme}`, { exact: true }).waitFor();
        await shoot(page, `connect-${size}-${colorScheme}`);
        await page.getByRole('button', { name: 'Sign in to Notion' }).click();
        await page.getByRole('button', { name: 'Allow' }).click();
        await page.getByRole('heading', { name: 'Notion is connected' }).waitFor();
        assert.match(await connect(bearer, { app: 'notion' }), /^Notion is connected\./);
        assert.deepEqual(await context.cookies(), []);
      });
    });

    test(`the page is accessible and fits on a ${size} in ${colorScheme}`, async () => {
      await open(`bob-${size}-${colorScheme}-with-a-name-that-has-no-end-and-no-place-to-break-it`, { viewport, colorScheme }, mustBeAccessible);
    });
  }
}

test('a user with a login signs in first, and a browser keeps to it until then', async () => {
  await open('oauth-user', {}, async (page, bearer, link, context) => {
    await page.getByText('asks you first to sign in').waitFor();
    await page.getByRole('button', { name: 'Sign in to Notion' }).click();
    await page.getByRole('button', { name: 'Allow' }).click();
    await page.getByRole('heading', { name: 'Notion is connected' }).waitFor();
    assert.match(await connect(bearer, { app: 'notion' }), /^Notion is connected\./);
    const kept = (await context.cookies()).map(({ name, path, httpOnly, sameSite }) => ({ name, path, httpOnly, sameSite }));
    assert.deepEqual(kept, [{ name: 'connect', path: '/connect', httpOnly: true, sameSite: 'Lax' }]);
  }, await signIn());
});

test('a user who says no by keyboard has connected nothing', async () => {
  await open('carl', { viewport: SIZES.desktop }, async (page, bearer) => {
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Nothing is connected' }).waitFor();
    assert.match(await connect(bearer, { app: 'notion' }), /does not want to connect Notion/);
  });
});

test('another page can neither frame the page nor press its button', async () => {
  const bearer = token('dora', ['gmail']);
  const told = await connect(bearer, { app: 'notion' });
  const link = told.split('\n').find((line) => line.startsWith('http'));
  const context = await browser.newContext();
  const page = await context.newPage();
  // Of another site, as browsers see it.
  await page.route('http://evil.localhost/**', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<iframe src="${link}"></iframe><form method="post" action="${link}"><input name="answer" value="go"><button>Win</button></form>`,
    }),
  );
  await page.goto('http://evil.localhost/');
  const framed = page.frames().find((frame) => frame !== page.mainFrame());
  assert.equal(await framed.getByText('Connect Notion').count(), 0, 'it is framed');
  await page.getByRole('button', { name: 'Win' }).click();
  await page.getByRole('heading', { name: 'Open the link itself' }).waitFor();
  await context.close();
});
