// A visit of the official clients to a server behind a proxy on this machine: `visit.mjs BASE TOKEN`. Each finds the way to a
// token, lists the tools, and calls one. The name in the URL is this machine, whatever it says.

import assert from 'node:assert/strict';
import dns from 'node:dns';

import * as v2 from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { SDKS, discover } from './discovery.js';

const [base, token] = process.argv.slice(2);

const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name === new URL(base).hostname ? '127.0.0.1' : name, ...rest);

for (const sdk of Object.values(SDKS)) {
  await discover(sdk, base, true);
  await discover(sdk, base, false);
}

const me = { name: 'test', version: '1' };
const options = { requestInit: { headers: { authorization: `Bearer ${token}` } } };
const ways = [
  [new Client(me), new StreamableHTTPClientTransport(new URL(`${base}/mcp`), options)],
  [new v2.Client(me), new v2.StreamableHTTPClientTransport(new URL(`${base}/mcp`), options)],
];
for (const [client, transport] of ways) {
  await client.connect(transport);
  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === 'google-calendar_list-events'));
  const listed = await client.callTool({ name: 'google-calendar_list-events', arguments: {} });
  assert.ok(Array.isArray(listed.structuredContent.events));
  await client.close();
}
