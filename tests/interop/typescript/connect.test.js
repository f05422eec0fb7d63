// Connecting an app from the chat: each client asks its user in the way that it has, and gets the tool's own result.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js';

import { newUser, texts } from './every-client.js';
import { startServer } from './server.js';

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const PAGES = { elicitation: { form: {}, url: {} } };
const SEARCH = { name: 'notion_search-pages', arguments: { query: 'a' } };

/** Opens a link as a browser does, and presses the buttons that are called so. */
async function signIn(link, answer = 'allow') {
  const page = await fetch(link);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /Connect Notion/);
  const form = (body) => ({
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
    body,
  });
  const onward = await fetch(link, form('answer=go'));
  assert.equal(onward.status, 303);
  const done = await fetch(onward.headers.get('location'), form(`account=0&answer=${answer}`));
  assert.equal(done.status, 303);
}

async function enter(t, client, Transport, query) {
  const token = newUser(['gmail']);
  const transport = new Transport(new URL(`/mcp${query}`, server.url), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  t.after(() => client.close());
  return client;
}

const run = (client) => client.callTool({ name: 'run-read-tool', arguments: SEARCH });

describe('TypeScript client v2, by its own elicitation', () => {
  const makeClient = (capabilities) => {
    const options = { capabilities, versionNegotiation: { mode: '2026-07-28' } };
    return new ClientV2({ name: 'interop-connect', version: '2' }, options);
  };

  test('connects an app within one call, and gets its result', async (t) => {
    const client = makeClient(PAGES);
    const asked = [];
    client.setRequestHandler('elicitation/create', async (request) => {
      asked.push(request.params);
      // The user signs in while the client sends its call again.
      setTimeout(() => signIn(request.params.url), 200);
      return { action: 'accept' };
    });
    await enter(t, client, TransportV2, '?mode=search');
    const connected = await client.callTool({ name: 'connect-app', arguments: { app: 'Notion' } });
    assert.match(texts(connected)[0], /^Notion is connected\./);
    assert.deepEqual(asked.map(({ mode }) => mode), ['url']);
    assert.notEqual((await run(client)).isError, true);
  });

  test('tells the model where its user declines', async (t) => {
    const client = makeClient(PAGES);
    client.setRequestHandler('elicitation/create', async () => ({ action: 'decline' }));
    await enter(t, client, TransportV2, '?mode=search');
    const result = await client.callTool({ name: 'connect-app', arguments: { app: 'notion' } });
    assert.match(texts(result)[0], /does not want to connect Notion/);
  });

  test('gives the model a link where it can not ask', async (t) => {
    const client = await enter(t, makeClient({}), TransportV2, '?mode=search');
    const told = texts(await client.callTool({ name: 'connect-app', arguments: { app: 'notion' } }))[0];
    const link = told.split('\n').find((line) => line.startsWith('http'));
    await signIn(link);
    const connected = await client.callTool({ name: 'connect-app', arguments: { app: 'notion' } });
    assert.match(texts(connected)[0], /^Notion is connected\./);
    assert.notEqual((await run(client)).isError, true);
  });
});

describe('TypeScript SDK v1, by the error that names a page', () => {
  test('connects an app, and makes its call again', async (t) => {
    const client = new ClientV1({ name: 'interop-connect', version: '1' }, { capabilities: PAGES });
    await enter(t, client, TransportV1, '?mode=search');
    const connect = () => client.callTool({ name: 'connect-app', arguments: { app: 'notion' } });
    const error = await connect().then(() => assert.fail('it was not asked'), (caught) => caught);
    assert.ok(error instanceof UrlElicitationRequiredError, String(error));
    assert.equal(error.elicitations.length, 1);
    await signIn(error.elicitations[0].url);
    assert.match(texts(await connect())[0], /^Notion is connected\./);
    assert.notEqual((await run(client)).isError, true);
  });
});
