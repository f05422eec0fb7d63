// OAuth discovery by the functions with which the official clients do it.

import assert from 'node:assert/strict';

import * as v2 from '@modelcontextprotocol/client';
import * as v1 from '@modelcontextprotocol/sdk/client/auth.js';

export const SDKS = { 'SDK v1': v1, 'client v2': v2 };

/** Finds the way to a token from the base of the server's URLs, by the challenge or, without it, by the paths that are usual. */
export async function discover(sdk, base, byChallenge) {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const refused = await fetch(`${base}/mcp`, { method: 'POST', headers, body: '{}' });
  assert.equal(refused.status, 401);
  const { resourceMetadataUrl } = byChallenge ? sdk.extractWWWAuthenticateParams(refused) : {};
  const resource = await sdk.discoverOAuthProtectedResourceMetadata(`${base}/mcp`, { resourceMetadataUrl });
  assert.equal(resource.resource, `${base}/mcp`);
  const issuer = await sdk.discoverAuthorizationServerMetadata(resource.authorization_servers[0]);
  assert.equal(issuer.issuer, base);
  assert.equal(issuer.authorization_endpoint, `${base}/oauth/authorize`);
}
