// Version 2 of the TypeScript client, which speaks 2026-07-28 and the revisions with sessions.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import {
  call,
  createAndFind,
  enable,
  enter,
  everyClient,
  everySessionClient,
  everySseClient,
  everyStreamableClient,
  names,
  newUser,
  promise,
  texts,
} from './every-client.js';
import { startServer } from './server.js';

let server;
before(async () => {
  server = await startServer({ MCP__TUNING__STREAM_AFTER_MS: '200', MCP__TUNING__PROGRESS_MS: '50' });
});
after(() => server?.stop());

const MODERN = '2026-07-28';
const OLDER = ['2025-06-18', '2025-03-26', '2024-11-05'];

/** A client that negotiates in this mode, or that knows this one revision with sessions. */
function makeClient(mode, onChanged) {
  const tools = { autoRefresh: false, debounceMs: 0, onChanged };
  const revisions = OLDER.includes(mode)
    ? { supportedProtocolVersions: [mode] }
    : { versionNegotiation: { mode } };
  const options = { ...revisions, listChanged: { tools } };
  return new Client({ name: 'interop-v2', version: '1' }, options);
}

const common = {
  protocolError: 'ProtocolError',
  revision: (client) => client.getNegotiatedProtocolVersion(),
  status: (error) => error.status,
  isRefused: (error) => error.status === 401 || error.code === 401,
  callWith: (client, params, options) => client.callTool(params, options),
};

function streamable(mode, agreed) {
  return {
    ...common,
    agreed,
    isStateless: agreed === MODERN,
    make({ url, path = '/mcp', query, headers, sessionId, fetch, onChanged, client }) {
      client ??= makeClient(mode, onChanged);
      const options = { requestInit: { headers }, sessionId, fetch };
      const transport = new StreamableHTTPClientTransport(new URL(`${path}${query}`, url), options);
      return { client, transport };
    },
  };
}

function sse(mode, agreed) {
  return {
    ...common,
    agreed,
    make({ url, query, headers, fetch, onChanged }) {
      const client = makeClient(mode, onChanged);
      const transport = new SSEClientTransport(new URL(`/sse${query}`, url), { requestInit: { headers }, fetch });
      return { client, transport };
    },
  };
}

const modern = streamable('auto', MODERN);
const pinned = streamable({ pin: MODERN }, MODERN);
const legacy = streamable('legacy', '2025-11-25');

describe('TypeScript client v2, which finds 2026-07-28 by itself', () => {
  everyClient(modern, () => server);
  everyStreamableClient(modern, () => server);
});

describe('TypeScript client v2, which insists on 2026-07-28', () => {
  everyClient(pinned, () => server);
});

describe('TypeScript client v2 with sessions over Streamable HTTP', () => {
  everyClient(legacy, () => server);
  everyStreamableClient(legacy, () => server);
  everySessionClient(legacy, () => server);
});

describe('TypeScript client v2 with sessions over HTTP+SSE', () => {
  everyClient(sse('legacy', '2025-11-25'), () => server);
  everySseClient(sse('legacy', '2025-11-25'), legacy, () => server);
});

describe('TypeScript client v2, which looks for 2026-07-28 over HTTP+SSE', () => {
  everyClient(sse('auto', '2025-11-25'), () => server);
});

for (const revision of OLDER) {
  describe(`TypeScript client v2, which knows nothing but ${revision}, over Streamable HTTP`, () => {
    everyClient(streamable(revision, revision), () => server);
  });
  describe(`TypeScript client v2, which knows nothing but ${revision}, over HTTP+SSE`, () => {
    everyClient(sse(revision, revision), () => server);
  });
}

describe('TypeScript client v2 in 2026-07-28', () => {
  promise('has every tool at hand without a chat', async (t) => {
    const { client } = await enter(t, modern, { ...server, token: newUser(), query: '?mode=dynamic' });
    const enabled = await enable(client, ['google-calendar_list-events']);
    assert.match(texts(enabled)[0], /^Tools enabled for calls by name/);
    assert.deepEqual(enabled.structuredContent.tools.map((tool) => tool.name), ['google-calendar_list-events']);
    assert.deepEqual(await names(client), ['enable-tools']);
    await createAndFind(client);
  });

  promise('repeats the arguments in headers that a tool asks for', async (t) => {
    const params = [];
    const spy = (url, init) => {
      params.push(new Headers(init?.headers).get('mcp-param-region'));
      return fetch(url, init);
    };
    const { client } = await enter(t, modern, { ...server, token: newUser(['test']), fetch: spy });
    const listed = await names(client);
    assert.ok(listed.includes('test_broken_headers'), 'annotations that are no good cost the tool nothing');
    params.length = 0;
    const result = await call(client, 'test_custom_headers', { region: 'us-west1', query: 'q', priority: 3 });
    assert.ok(!result.isError, JSON.stringify(result));
    assert.deepEqual(params, ['us-west1']);
  });

  promise('is told of changes by each of its subscriptions', async (t) => {
    const chat = { ...server, token: newUser(), query: '?mode=dynamic', headers: { 'x-chat-id': 'tea' } };
    const [one, two] = [await enter(t, modern, chat), await enter(t, modern, chat)];
    const other = await enter(t, modern, { ...chat, headers: { 'x-chat-id': 'coffee' } });
    await enable(one.client, ['google-calendar_list-events']);
    await Promise.all([one.changes.next(), two.changes.next()]);
    assert.deepEqual(await names(two.client), ['enable-tools', 'google-calendar_list-events']);
    assert.deepEqual(await names(other.client), ['enable-tools']);

    await two.client.autoOpenedSubscription.close();
    assert.equal(await two.client.autoOpenedSubscription.closed, 'local');
    const again = await two.client.listen({ toolsListChanged: true });
    assert.deepEqual(again.honoredFilter, { toolsListChanged: true });
    await enable(one.client, []);
    await Promise.all([one.changes.next(), two.changes.next()]);
  });

  promise('is told when the server ends its subscription', async (t) => {
    const brief = await startServer();
    t.after(() => brief.stop());
    const { client } = await enter(t, modern, { ...brief, token: newUser() });
    brief.drain();
    assert.equal(await client.autoOpenedSubscription.closed, 'graceful');
  });
});

describe('TypeScript client v2 in a chat of both eras', () => {
  const tea = () => ({ ...server, token: newUser(), query: '?mode=dynamic', headers: { 'x-chat-id': 'tea' } });
  const wanted = ['google-calendar_create-event', 'google-calendar_list-events'];

  promise('goes on in 2026-07-28 with what a session enabled', async (t) => {
    const chat = tea();
    const first = await enter(t, legacy, chat);
    await enable(first.client, wanted);
    await first.changes.next();
    const second = await enter(t, modern, chat);
    assert.deepEqual(await names(second.client), ['enable-tools', ...wanted]);
    await createAndFind(second.client);

    await enable(second.client, wanted.slice(1));
    await first.changes.next();
    assert.deepEqual(await names(first.client), ['enable-tools', ...wanted.slice(1)]);
  });

  promise('goes on in a session with what 2026-07-28 enabled', async (t) => {
    const chat = tea();
    const first = await enter(t, modern, chat);
    await enable(first.client, wanted);
    const second = await enter(t, legacy, chat);
    assert.deepEqual(await names(second.client), ['enable-tools', ...wanted]);
    await createAndFind(second.client);
  });

  promise('has a session that can be entered without initialize', async (t) => {
    const chat = tea();
    const first = await enter(t, modern, chat);
    await enable(first.client, wanted);
    const headers = { authorization: `Bearer ${chat.token}` };
    const chats = await (await fetch(new URL('/mcp/sessions', server.url), { headers })).json();
    assert.deepEqual(Object.keys(chats), ['tea']);

    // A client that has been in a session knows what the server can do; a new one would not ask for tools.
    const before = await enter(t, legacy, { ...chat, headers: {} });
    await before.transport.close();
    const second = await enter(t, legacy, { ...chat, sessionId: chats.tea, client: before.client });
    assert.deepEqual(await names(second.client), ['enable-tools', ...wanted]);
    await createAndFind(second.client);
  });
});
