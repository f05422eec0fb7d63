// Starts the binary with its sandbox, and mints the sandbox's tokens.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';

const BINARY =
  process.env.SERVER_BINARY ??
  fileURLToPath(new URL('../../../target/debug/integration-app-mcp-server', import.meta.url));

const SECRET = "the key of the tests' sandbox";

/** Milliseconds to wait for what must come. Generous: only a failing test ever waits so long. */
export const PATIENCE = 30_000;

/** The signatures of all tokens: no log may show one. */
const used = new Set();

// A process outlives its parent unless it is told. Only what runs in a handler is sure to run.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}

/** Starts a server on a free port; `settings` are environment variables such as `MCP__TUNING__STREAM_AFTER_MS`. */
export async function startServer(settings = {}) {
  const env = {
    PORT: '0',
    MCP__ADMIN__PORT: '0',
    MCP__STORE__PATH: '',
    MCP__LOG__FILTER: 'trace',
    MCP__SANDBOX__SECRET: SECRET,
    ...settings,
  };
  const child = spawn(BINARY, ['--sandbox'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  const ended = new Promise((resolve) => child.once('close', resolve));
  let log = '';
  let isWanted = true;
  child.once('close', (code, signal) => {
    if (isWanted) {
      console.error(`${BINARY} has ended by itself (${signal ?? code}); its log:\n${log}`);
    }
  });
  const [url, sandbox] = await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${BINARY}: ${why}; its log:\n${log}`));
    const timer = setTimeout(() => fail('it does not listen'), PATIENCE);
    child.once('error', (error) => fail(error.message));
    child.once('close', () => fail('it has ended'));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
      const address = /listening on (http:\/\/\S+).* upstream=(http:\/\/\S+)\s/.exec(log);
      if (address) {
        clearTimeout(timer);
        resolve(address.slice(1));
      }
    });
  }).catch((error) => {
    isWanted = false;
    child.kill('SIGKILL');
    throw error;
  });
  return {
    url,
    /** How many requests the sandbox has seen whose sender left before the answer. */
    async abandoned() {
      const headers = { authorization: `Bearer ${token('tester')}` };
      const stats = await (await fetch(`${sandbox}/sandbox/stats`, { headers })).json();
      return stats.abandoned;
    },
    /** Asks it to stop. */
    drain() {
      isWanted = false;
      child.kill('SIGTERM');
    },
    async stop() {
      isWanted = false;
      child.kill('SIGKILL');
      await ended;
      running.delete(child);
      const shows = (line) => line.includes(SECRET) || [...used].some((signature) => line.includes(signature));
      const shown = log.split('\n').find(shows);
      if (shown) {
        throw new Error(`a token shows in the log: ${shown}`);
      }
    },
  };
}

/** A token of `user`, for the apps that a new user has or for those named. */
export function token(user, connections, seconds = 3600) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const claims = { id: user, name: user, iss: 'sandbox', exp, fields: connections ? { connections } : {} };
  const content = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  const signature = createHmac('sha256', SECRET).update(content).digest('base64url');
  used.add(signature);
  return `${content}.${signature}`;
}
