// What every client must see, whichever SDK, transport and revision it speaks.
//
// A dialect says how a client is made: `make({url, headers, query, onChanged})` gives `{client, transport}`, both of the
// SDK's own kind. Each test is a user of its own, so that one server does for all of them.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';

import { PATIENCE, token } from './server.js';

export const EVENT = {
  summary: 'Tea with Bob',
  start: { dateTime: '2026-12-01T16:00:00Z' },
  end: { dateTime: '2026-12-01T16:30:00Z' },
};

/** A test that fails when what it waits for does not come. */
export function promise(title, body) {
  it(title, { timeout: PATIENCE }, body);
}

/** Asks again until it is so: for what the server learns soon, but nothing tells us when. */
async function until(t, isSo) {
  while (!(await isSo())) {
    t.signal.throwIfAborted();
  }
}

/** Someone who has not been here before. */
export function newUser(connections) {
  return token(`user-${randomUUID()}`, connections);
}

/** Connects a client that leaves with the test; `changes.next()` waits for the next list_changed. */
export async function enter(t, dialect, { url, token, query = '', headers = {}, ...options }) {
  const changes = new Changes();
  const bearer = token ? { authorization: `Bearer ${token}` } : {};
  const all = { ...bearer, ...headers };
  const made = dialect.make({ url, query, headers: all, onChanged: () => changes.tell(), ...options });
  // A transport that has not connected is not yet the client's to close, and may go on trying.
  t.after(() => Promise.all([made.client.close(), made.transport.close()]));
  await made.client.connect(made.transport);
  return { ...made, changes };
}

class Changes {
  #told = 0;
  #waiting = [];

  tell() {
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting();
    } else {
      this.#told += 1;
    }
  }

  next() {
    if (this.#told > 0) {
      this.#told -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The names of the listed tools. */
export async function names(client) {
  const { tools } = await client.listTools();
  return tools.map((tool) => tool.name);
}

export function call(client, name, args = {}) {
  return client.callTool({ name, arguments: args });
}

export function enable(client, tools) {
  return call(client, 'enable-tools', { tools });
}

/** The texts of a result. */
export function texts(result) {
  return result.content.map((block) => block.text);
}

/** Creates an event, and finds it among all. */
export async function createAndFind(client) {
  const created = await call(client, 'google-calendar_create-event', EVENT);
  assert.ok(!created.isError, JSON.stringify(created));
  const listed = await call(client, 'google-calendar_list-events');
  const { events } = JSON.parse(texts(listed)[0]);
  assert.deepEqual(listed.structuredContent, { events });
  assert.equal(events.filter((event) => event.summary === EVENT.summary).length, 1);
}

/** The tests; `server()` gives the running server. */
export function everyClient(dialect, server) {
  /** Without sessions it is the chat that keeps the enabled tools. */
  const dynamic = () => ({ query: '?mode=dynamic', headers: dialect.isStateless ? { 'x-chat-id': randomUUID() } : {} });

  promise('agrees on a revision and lists the tools', async (t) => {
    const { client, transport } = await enter(t, dialect, { ...server(), token: newUser() });
    assert.equal(dialect.revision(client, transport), dialect.agreed);
    assert.equal(client.getServerVersion().name, 'Integration App MCP Server');

    const { tools } = await client.listTools();
    const tool = tools.find((tool) => tool.name === 'google-calendar_create-event');
    assert.equal(tool.title, 'Google Calendar: Create Event');
    assert.deepEqual(tool.inputSchema.required, ['summary', 'start', 'end']);
    assert.equal(tool.annotations.readOnlyHint, false);
  });

  promise('calls a tool and finds what it did', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser() });
    await client.listTools();
    await createAndFind(client);
  });

  promise('gets the failure of a tool as a result', async (t) => {
    const user = newUser(['sandbox-faults', 'google-calendar']);
    const { client } = await enter(t, dialect, { ...server(), token: user });
    const failed = await call(client, 'sandbox-faults_fail-400');
    assert.equal(failed.isError, true);
    assert.match(texts(failed)[0], /not a valid email address/);

    const invalid = await call(client, 'google-calendar_create-event', { ...EVENT, summary: 7 });
    assert.equal(invalid.isError, true);
    assert.match(texts(invalid)[0], /\/summary/);
  });

  promise('gets a protocol error with its code, and goes on', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser() });
    await assert.rejects(call(client, 'no-such_tool'), { name: dialect.protocolError, code: -32602 });
    await createAndFind(client);
  });

  promise('searches for a tool, and runs what it finds', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser(), query: '?mode=search' });
    const five = ['search-tools', 'describe-tools', 'run-read-tool', 'run-write-tool', 'connect-app'];
    assert.deepEqual(await names(client), five);
    const [create, list] = ['google-calendar_create-event', 'google-calendar_list-events'];
    const found = await call(client, 'search-tools', { query: 'put a meeting in my Google calendar' });
    assert.equal(JSON.parse(texts(found)[0]).tools[0].name, create);
    const created = await call(client, 'run-write-tool', { name: create, arguments: EVENT });
    assert.ok(!created.isError, JSON.stringify(created));
    const listed = await call(client, 'run-read-tool', { name: list, fields: ['events[].summary'] });
    const { events } = JSON.parse(texts(listed)[0]);
    assert.ok(events.some((event) => event.summary === EVENT.summary), JSON.stringify(events));
    const refused = await call(client, 'run-read-tool', { name: create, arguments: EVENT });
    assert.equal(refused.isError, true);
  });

  promise('enables tools, is told that the list changed, and calls one', async (t) => {
    const { client, changes } = await enter(t, dialect, { ...server(), token: newUser(), ...dynamic() });
    assert.deepEqual(await names(client), ['enable-tools']);
    const disabled = call(client, 'google-calendar_create-event', EVENT);
    await assert.rejects(disabled, { name: dialect.protocolError, code: -32602 });

    const wanted = ['google-calendar_create-event', 'google-calendar_list-events'];
    const enabled = await enable(client, [...wanted, 'no-such_tool']);
    assert.equal(texts(enabled)[0], 'Tools enabled');
    assert.match(texts(enabled)[1], /no-such_tool/);
    await changes.next();
    assert.deepEqual(await names(client), ['enable-tools', ...wanted]);
    await createAndFind(client);

    await enable(client, ['google-calendar_list-events']);
    await changes.next();
    assert.deepEqual(await names(client), ['enable-tools', 'google-calendar_list-events']);
  });

  promise('sees and calls nothing but the tools of the apps it names', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser(), query: '?apps=gmail,%20slack' });
    const apps = new Set((await names(client)).map((name) => name.split('_')[0]));
    assert.deepEqual(apps, new Set(['gmail', 'slack']));
    const outside = call(client, 'google-calendar_create-event', EVENT);
    await assert.rejects(outside, { name: dialect.protocolError, code: -32602 });
  });

  promise('is not let in without a good token', async (t) => {
    for (const bad of [undefined, 'no-token', `${newUser()}x`]) {
      await assert.rejects(enter(t, dialect, { ...server(), token: bad }), dialect.isRefused, String(bad));
    }
  });

  promise('comes in with a token in the URL', async (t) => {
    const query = `?token=${newUser()}`;
    const { client } = await enter(t, dialect, { ...server(), query });
    await client.listTools();
    await createAndFind(client);
  });
}

/** What Streamable HTTP adds, in every era. */
export function everyStreamableClient(dialect, server) {
  promise('hears of the progress of a slow call', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser(['sandbox-faults']) });
    const heard = [];
    const slow = { name: 'sandbox-faults_sleep', arguments: { ms: 1000 } };
    const result = await dialect.callWith(client, slow, { onprogress: ({ progress }) => heard.push(progress) });
    assert.ok(!result.isError, JSON.stringify(result));
    assert.ok(heard.length > 1, `progress: ${heard}`);
    assert.deepEqual(heard, [...heard].sort((a, b) => a - b));
  });

  promise('gives up a slow call, which is then given up upstream', async (t) => {
    const { client } = await enter(t, dialect, { ...server(), token: newUser(['sandbox-faults', 'google-calendar']) });
    const before = await server().abandoned();
    const stop = new AbortController();
    const slow = { name: 'sandbox-faults_sleep', arguments: { ms: 60_000 } };
    const onprogress = () => stop.abort('no longer wanted');
    const abandoned = dialect.callWith(client, slow, { onprogress, signal: stop.signal });
    await assert.rejects(abandoned, /no longer wanted/);
    await until(t, async () => (await server().abandoned()) > before);
    await createAndFind(client);
  });

  promise('learns which modes there are', async (t) => {
    const entered = enter(t, dialect, { ...server(), token: newUser(), query: '?mode=lazy' });
    await assert.rejects(entered, /static, dynamic, search and auto/);
  });
}

/** What Streamable HTTP with sessions adds. */
// To come back to a session, a client loses its transport but is not closed: it still knows what the server can do.
export function everySessionClient(dialect, server) {
  promise('goes on with its session over a new connection', async (t) => {
    const user = { ...server(), token: newUser(), query: '?mode=dynamic' };
    const { client, transport } = await enter(t, dialect, user);
    await enable(client, ['google-calendar_list-events']);
    const { sessionId } = transport;
    await transport.close();

    const again = await enter(t, dialect, { ...user, sessionId, client });
    assert.equal(again.transport.sessionId, sessionId);
    assert.deepEqual(await names(again.client), ['enable-tools', 'google-calendar_list-events']);
    const listed = await call(again.client, 'google-calendar_list-events');
    assert.ok(Array.isArray(listed.structuredContent.events));
  });

  promise('ends its session, which is not found from then on', async (t) => {
    const user = { ...server(), token: newUser() };
    const { client, transport } = await enter(t, dialect, user);
    const { sessionId } = transport;
    await transport.terminateSession();
    assert.equal(transport.sessionId, undefined);
    await transport.close();

    const again = await enter(t, dialect, { ...user, sessionId, client });
    await assert.rejects(again.client.listTools(), (error) => dialect.status(error) === 404);
  });

  promise('does not find the session of another user', async (t) => {
    const { client, transport } = await enter(t, dialect, { ...server(), token: newUser() });
    const { sessionId } = transport;
    await transport.close();
    const other = await enter(t, dialect, { ...server(), token: newUser(), sessionId, client });
    await assert.rejects(other.client.listTools(), (error) => dialect.status(error) === 404);
  });

  promise('takes over the tools of its chat in a new session', async (t) => {
    const user = { ...server(), token: newUser(), query: '?mode=dynamic', headers: { 'x-chat-id': 'tea' } };
    const first = await enter(t, dialect, user);
    await enable(first.client, ['google-calendar_list-events']);
    const second = await enter(t, dialect, user);
    assert.notEqual(second.transport.sessionId, first.transport.sessionId);
    assert.deepEqual(await names(second.client), ['enable-tools', 'google-calendar_list-events']);
  });
}

/** What HTTP+SSE adds; `streamable` is the dialect of the same SDK for Streamable HTTP. */
export function everySseClient(dialect, streamable, server) {
  promise('is sent back from Streamable HTTP to SSE', async (t) => {
    const user = { ...server(), token: newUser() };
    const first = enter(t, streamable, { ...user, path: '/sse' });
    await assert.rejects(first, (error) => streamable.status(error) === 405);
    const { client } = await enter(t, dialect, user);
    await client.listTools();
    await createAndFind(client);
  });

  promise('leaves no session behind when its stream closes', async (t) => {
    const posts = [];
    const spy = (url, init) => {
      if (init?.method === 'POST') {
        posts.push([url, { method: 'POST', headers: init.headers, body: init.body }]);
      }
      return fetch(url, init);
    };
    const { client } = await enter(t, dialect, { ...server(), token: newUser(), fetch: spy });
    await client.listTools();
    const [url, init] = posts.at(-1);
    const post = async () => (await fetch(url, init)).status;
    assert.equal(await post(), 202);
    await client.close();
    await until(t, async () => (await post()) === 404);
  });
}
