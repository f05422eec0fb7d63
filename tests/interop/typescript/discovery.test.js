// OAuth discovery below a path of a proxy that knows of nothing else.

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';

import { SDKS, discover } from './discovery.js';
import { startServer } from './server.js';

const PREFIX = '/gw';

let server;
let proxy;
let base;

/** Passes on what is below the prefix, without it, as nginx does with `location /gw/ { proxy_pass http://server/; }`. */
function startProxy(upstream) {
  const { hostname: host, port } = new URL(upstream);
  const proxy = createServer((asked, answer) => {
    if (!asked.url.startsWith(`${PREFIX}/`)) return answer.writeHead(404).end();
    const options = { host, port, method: asked.method, path: asked.url.slice(PREFIX.length), headers: asked.headers };
    asked.pipe(request(options, (got) => got.pipe(answer.writeHead(got.statusCode, got.headers))));
  });
  return proxy.listen(0, '127.0.0.1');
}

before(async () => {
  server = await startServer({ MCP__OAUTH__ENABLED: 'true', MCP__SERVER__PUBLIC_PATH: PREFIX });
  proxy = startProxy(server.url);
  await once(proxy, 'listening');
  base = `http://127.0.0.1:${proxy.address().port}${PREFIX}`;
});

after(async () => {
  proxy.close();
  proxy.closeAllConnections();
  await server.stop();
});

for (const [name, sdk] of Object.entries(SDKS)) {
  test(`TypeScript ${name} finds the way to a token below a path`, () => discover(sdk, base, true));
}
