// OAuth discovery below a path of a proxy, by the functions with which the official clients do it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';

import * as v2 from '@modelcontextprotocol/client';
import * as v1 from '@modelcontextprotocol/sdk/client/auth.js';

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

for (const [name, sdk] of Object.entries({ 'SDK v1': v1, 'client v2': v2 })) {
  test(`TypeScript ${name} finds the way to a token below a path`, async () => {
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const refused = await fetch(`${base}/mcp`, { method: 'POST', headers, body: '{}' });
    assert.equal(refused.status, 401);
    const { resourceMetadataUrl } = sdk.extractWWWAuthenticateParams(refused);
    const resource = await sdk.discoverOAuthProtectedResourceMetadata(`${base}/mcp`, { resourceMetadataUrl });
    assert.equal(resource.resource, `${base}/mcp`);
    const issuer = await sdk.discoverAuthorizationServerMetadata(resource.authorization_servers[0]);
    assert.equal(issuer.issuer, base);
    assert.equal(issuer.authorization_endpoint, `${base}/oauth/authorize`);
  });
}
