// Version 1 of the TypeScript SDK, which speaks the revisions with sessions.

import { after, before, describe } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { everyClient, everySessionClient, everySseClient, everyStreamableClient } from './every-client.js';
import { startServer } from './server.js';

let server;
before(async () => {
  server = await startServer({ MCP__TUNING__STREAM_AFTER_MS: '200', MCP__TUNING__PROGRESS_MS: '50' });
});
after(() => server?.stop());

function makeClient(onChanged) {
  const tools = { autoRefresh: false, debounceMs: 0, onChanged };
  return new Client({ name: 'interop-v1', version: '1' }, { listChanged: { tools } });
}

const common = {
  agreed: '2025-11-25',
  protocolError: 'McpError',
  status: (error) => error.code,
  isRefused: (error) => error.code === 401,
  callWith: (client, params, options) => client.callTool(params, undefined, options),
};

const streamable = {
  ...common,
  revision: (_client, transport) => transport.protocolVersion,
  make({ url, path = '/mcp', query, headers, sessionId, onChanged, client }) {
    client ??= makeClient(onChanged);
    const options = { requestInit: { headers }, sessionId };
    const transport = new StreamableHTTPClientTransport(new URL(`${path}${query}`, url), options);
    return { client, transport };
  },
};

const sse = {
  ...common,
  // The transport keeps it to itself.
  revision: (_client, transport) => transport._protocolVersion,
  make({ url, query, headers, fetch, onChanged }) {
    const client = makeClient(onChanged);
    const transport = new SSEClientTransport(new URL(`/sse${query}`, url), { requestInit: { headers }, fetch });
    return { client, transport };
  },
};

describe('TypeScript SDK v1 over Streamable HTTP', () => {
  everyClient(streamable, () => server);
  everyStreamableClient(streamable, () => server);
  everySessionClient(streamable, () => server);
});

describe('TypeScript SDK v1 over HTTP+SSE', () => {
  everyClient(sse, () => server);
  everySseClient(sse, streamable, () => server);
});
