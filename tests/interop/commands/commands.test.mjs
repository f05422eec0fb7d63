// Commands of others, by which people and clients that know nothing of HTTP reach a server: the Inspector's and mcp-remote.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';

import { PATIENCE, startServer, token } from '../typescript/server.js';

const INSPECTOR = 'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js';
const REMOTE = 'node_modules/mcp-remote/dist/proxy.js';
const LIST = 'google-calendar_list-events';

/** Whatever they keep, they keep for a run. */
const home = mkdtempSync(join(tmpdir(), 'commands-'));
const env = { PATH: process.env.PATH, HOME: home, MCP_REMOTE_CONFIG_DIR: home };

let server;
before(async () => {
  server = await startServer();
});
after(async () => {
  await server.stop();
  rmSync(home, { recursive: true });
});

/** Someone who has not been here before. */
const newUser = (connections) => token(`user-${randomUUID()}`, connections);

describe("the Inspector's command", { timeout: PATIENCE * 4 }, () => {
  /** Asks for a method, as a user with the apps that are named. */
  function inspect(at, ...options) {
    const command = [INSPECTOR, '--cli', `${server.url}${at}`, ...options];
    return new Promise((resolve) => {
      const done = (error, out, err) => resolve({ code: error?.code ?? 0, out, err });
      execFile(process.execPath, command, { env, timeout: PATIENCE }, done);
    });
  }
  const bearer = (...of) => ['--header', `authorization: Bearer ${newUser(...of)}`];

  for (const at of ['/mcp', '/sse']) {
    it(`lists and calls at ${at}`, async () => {
      const header = bearer();
      const listed = await inspect(at, ...header, '--method', 'tools/list');
      assert.equal(listed.code, 0, listed.err);
      assert.ok(JSON.parse(listed.out).tools.some((tool) => tool.name === LIST));
      const called = await inspect(at, ...header, '--method', 'tools/call', '--tool-name', LIST);
      assert.equal(called.code, 0, called.err);
      assert.ok(Array.isArray(JSON.parse(called.out).structuredContent.events));
    });
  }

  it('comes in with a token in the URL', async () => {
    const { code, out, err } = await inspect(`/mcp?token=${newUser()}`, '--method', 'tools/list');
    assert.equal(code, 0, err);
    assert.ok(JSON.parse(out).tools.length > 10);
  });

  it('finds no schema of arguments that some client might not take', async () => {
    const { code, err } = await inspect('/mcp', ...bearer(), '--method', 'tools/list', '--strict');
    assert.equal(code, 0, err);
    // Of results it warns: those say null where an app may have nothing to tell.
    assert.doesNotMatch(err, /Path: inputSchema/);
  });

  it('shows the failure of a tool', async () => {
    const user = bearer(['sandbox-faults']);
    const shown = await inspect('/mcp', ...user, '--method', 'tools/call', '--tool-name', 'sandbox-faults_fail-400');
    assert.notEqual(shown.code, 0, JSON.stringify(shown));
    assert.match(shown.out + shown.err, /not a valid email address/);
  });

  it('is not let in without a token', async () => {
    const refused = await inspect('/mcp', '--method', 'tools/list');
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /auth_required/);
  });
});

describe('mcp-remote', { timeout: PATIENCE * 4 }, () => {
  /** A client on the other end of its standard input and output. */
  class Remote {
    #child;
    #next = 1;
    #waiting = new Map();
    #log = '';
    heard = [];

    constructor(url, ...options) {
      const stdio = ['pipe', 'pipe', 'pipe'];
      this.#child = spawn(process.execPath, [REMOTE, url, ...options], { env, stdio });
      this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.#log += text));
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        const message = JSON.parse(line);
        if (message.method) {
          this.heard.push(message.method);
        } else {
          this.#waiting.get(message.id)?.(message);
        }
      });
    }

    #send(message) {
      this.#child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    }

    async ask(method, params = {}) {
      const id = this.#next++;
      const answered = new Promise((resolve, reject) => {
        this.#waiting.set(id, resolve);
        this.#child.once('exit', () => reject(new Error(`it has ended; its log:\n${this.#log}`)));
      });
      this.#send({ id, method, params });
      return answered;
    }

    async enter() {
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
      const { result } = await this.ask('initialize', params);
      assert.equal(result.serverInfo.name, 'Integration App MCP Server');
      this.#send({ method: 'notifications/initialized' });
      return this;
    }

    async names() {
      return (await this.ask('tools/list')).result.tools.map((tool) => tool.name);
    }

    async call(name, args = {}) {
      return (await this.ask('tools/call', { name, arguments: args })).result;
    }

    /** Waits for something that it tells people. */
    async told(what) {
      for (;;) {
        const found = what.exec(this.#log);
        if (found) {
          return found;
        }
        await once(this.#child.stderr, 'data');
      }
    }

    stop() {
      this.#child.kill('SIGKILL');
    }
  }

  for (const [title, options] of [['by Streamable HTTP', ['http-only']], ['by HTTP+SSE', ['sse-only']]]) {
    it(`lists and calls ${title}`, async (t) => {
      const path = options[0] === 'sse-only' ? '/sse' : '/mcp';
      const header = ['--header', `Authorization: Bearer ${newUser()}`];
      const remote = new Remote(`${server.url}${path}`, '--transport', ...options, ...header);
      t.after(() => remote.stop());
      await remote.enter();
      assert.ok((await remote.names()).includes(LIST));
      assert.ok(Array.isArray((await remote.call(LIST)).structuredContent.events));
    });
  }

  it('passes on that the list has changed', async (t) => {
    const remote = new Remote(`${server.url}/mcp?mode=dynamic`, '--header', `Authorization: Bearer ${newUser()}`);
    t.after(() => remote.stop());
    await remote.enter();
    assert.deepEqual(await remote.names(), ['enable-tools']);
    await remote.call('enable-tools', { tools: [LIST] });
    while (!remote.heard.includes('notifications/tools/list_changed')) {
      await remote.names();
    }
    assert.deepEqual(await remote.names(), ['enable-tools', LIST]);
  });

  it('comes in with a token in the URL', async (t) => {
    const remote = new Remote(`${server.url}/mcp?token=${newUser()}`);
    t.after(() => remote.stop());
    await remote.enter();
    assert.ok((await remote.names()).includes(LIST));
  });

  it('finds its own way to a token, with a user who says yes', async (t) => {
    const inviting = await startServer({ MCP__OAUTH__ENABLED: 'true' });
    t.after(() => inviting.stop());
    const remote = new Remote(`${inviting.url}/mcp`);
    t.after(() => remote.stop());
    const entered = remote.enter();
    const [url] = await remote.told(/http:\S+\/oauth\/authorize\S+/);
    // As a browser does, with redirects that lead back to it.
    assert.equal((await fetch(url)).status, 200);
    await entered;
    assert.ok((await remote.names()).includes('slack_list-channels'));
  });

  it('goes on after a restart of the server', async (t) => {
    const store = mkdtempSync(join(home, 'store-'));
    const first = await startServer({ MCP__STORE__PATH: store });
    const remote = new Remote(`${first.url}/mcp`, '--header', `Authorization: Bearer ${newUser()}`);
    t.after(() => remote.stop());
    await remote.enter();
    assert.ok(Array.isArray((await remote.call(LIST)).structuredContent.events));
    await first.stop();
    const second = await startServer({ MCP__STORE__PATH: store, PORT: new URL(first.url).port });
    t.after(() => second.stop());
    assert.ok(Array.isArray((await remote.call(LIST)).structuredContent.events));
  });
});
