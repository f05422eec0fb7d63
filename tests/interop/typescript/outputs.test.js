// Whatever an app answers, and whatever it has declared of that: a run that went well is no error, and the validators of the official
// clients (ajv) accept its structured content by the schema that is listed.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv-provider.js';

import { newUser } from './every-client.js';
import { actions } from './random-outputs.js';
import { startServer } from './server.js';

const APP = { key: 'odd', name: 'Odd', logoUri: 'https://example.com/odd.svg' };
const all = actions();

let folder;
let server;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'apps-'));
  await writeFile(join(folder, 'odd.json'), JSON.stringify({ integration: APP, actions: all }));
  server = await startServer({ MCP__SANDBOX__CATALOG: folder, MCP__LOG__FILTER: 'info' });
});
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true });
});

const me = { name: 'test', version: '1' };
const clients = {
  'TypeScript SDK v1': () => [new ClientV1(me), TransportV1],
  'TypeScript client v2 in 2026-07-28': () => [new ClientV2(me, { versionNegotiation: { mode: 'auto' } }), TransportV2],
  'TypeScript client v2 with sessions': () => [new ClientV2(me, { versionNegotiation: { mode: 'legacy' } }), TransportV2],
};

describe('outputs of any kind', () => {
  for (const [name, make] of Object.entries(clients)) {
    test(`are taken by ${name}`, async (t) => {
      const [client, Transport] = make();
      t.after(() => client.close());
      const requestInit = { headers: { authorization: `Bearer ${newUser(['odd'])}` } };
      await client.connect(new Transport(new URL('/mcp', server.url), { requestInit }));
      const listed = new Map((await client.listTools()).tools.map((tool) => [tool.name, tool]));
      assert.equal(listed.size, all.length, 'each action is a tool');

      const validators = new AjvJsonSchemaValidator();
      let checked = 0;
      for (const { key, outputSchema, run } of all) {
        const told = `${JSON.stringify(run.value)} by ${JSON.stringify(outputSchema)}`;
        const tool = listed.get(`odd_${key}`);
        // The client throws where its own validator does not accept the result.
        const result = await client.callTool({ name: tool.name, arguments: {} }).catch((error) => assert.fail(`${error.message}: ${told}`));
        assert.ok(!result.isError, `${JSON.stringify(result.content)}: ${told}`);
        if (tool.outputSchema) {
          const { valid, errorMessage } = validators.getValidator(tool.outputSchema)(result.structuredContent);
          assert.ok(valid, `${errorMessage}: ${JSON.stringify(result.structuredContent)}, which was ${told}`);
          checked += 1;
        }
      }
      assert.ok(checked > all.length / 3, `${checked} of ${all.length} have a schema that is listed`);
    });
  }
});
