// What an agent framework makes of this server: `probe.mjs FRAMEWORK FACTS`. As ../python/probe.py, whose words it uses.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer, token } from '../../typescript/server.js'
import { startVendors } from './vendors.mjs'

const [CREATE, LIST] = ['google-calendar_create-event', 'google-calendar_list-events']
const EVENT = { summary: 'Tea with Bob', start: { dateTime: '2026-12-01T16:00:00Z' }, end: { dateTime: '2026-12-01T16:30:00Z' } }
const LONG_S = 70
/** Long enough to connect on a busy machine, and over before the long call is. */
const RENEWAL_S = 50
/** What is listed in these is put before vendors of models. */
const MODES = ['', '?mode=search', '?mode=dynamic']

const [name, out] = process.argv.slice(2)
const revisions = new Set()
const real = globalThis.fetch
globalThis.fetch = (url, init) => {
  const revision = new Headers(init?.headers ?? url?.headers).get('mcp-protocol-version')
  if (revision) revisions.add(revision)
  return real(url, init)
}
const { frameworks } = await import('./frameworks.mjs')
const framework = frameworks[name]

const catalog = join(mkdtempSync(join(tmpdir(), 'apps-')), 'apps')
cpSync(new URL('../../../../config/sandbox', import.meta.url), catalog, { recursive: true })
const faults = join(catalog, 'sandbox-faults.json')
writeFileSync(faults, readFileSync(faults, 'utf8').replace('"maximum": 60000', '"maximum": 120000'))
const schemas = JSON.parse(readFileSync(new URL('../../../vendors/fixtures.json', import.meta.url), 'utf8'))
const actions = schemas.map((inputSchema, i) => {
  return { key: `do-${i}`, name: `Do ${i}`, description: '', type: 'connector-operation', inputSchema, run: { do: 'nothing' } }
})
writeFileSync(
  join(catalog, 'odd.json'),
  JSON.stringify({ integration: { key: 'odd', name: 'Odd', logoUri: 'https://example.com/odd.svg' }, actions }),
)
const settings = { MCP__SANDBOX__CATALOG: catalog, MCP__SERVER__WORKERS: '1', MCP__TUNING__RUN_TIMEOUT_MS: '90000', MCP__LOG__FILTER: 'info' }
const server = await startServer(settings)
const facts = {}
const asked = {}
const vendors = await startVendors()

const user = (...options) => ({ authorization: `Bearer ${token(`user-${randomUUID()}`, ...options)}` })

async function visit({ query = '', headers = {}, at = server, isPatient = true }, body) {
  const client = await framework.connect(`${at.url}/mcp${query}`, () => headers, isPatient)
  try {
    return await body(client)
  } finally {
    await Promise.race([Promise.resolve(client.close()).catch(() => {}), sleep(5000)])
  }
}

const scenarios = {
  basics: async () => {
    await visit({ headers: user() }, async (client) => {
      const names = await client.names()
      assert.ok(names.includes(CREATE) && names.includes(LIST), String(names))
      facts.list = String(names.length)
      const created = await client.call(CREATE, EVENT)
      assert.ok(!created.failed, JSON.stringify(created))
      const found = await client.call(LIST, {})
      assert.ok(found.text.includes(EVENT.summary), JSON.stringify(found))
      facts.structured = found.structured ? 'apart' : 'as text'
    })
    const query = `?token=${user().authorization.split(' ')[1]}`
    await visit({ query }, async (client) => assert.ok((await client.names()).includes(LIST)))
    facts.query = 'yes'
  },
  forms: async () => {
    const files = readdirSync(catalog).map((file) => JSON.parse(readFileSync(join(catalog, file), 'utf8')))
    const apps = files.flat().map((app) => app.integration.key)
    for (const query of MODES) {
      await visit({ query, headers: user(apps) }, async (client) => {
        const names = await client.names()
        await client.ask(vendors.url)
        asked[query] = { names, tools: vendors.take() }
      })
    }
  },
  failures: () =>
    visit({ headers: user(['sandbox-faults', 'google-calendar']) }, async (client) => {
      await client.names()
      const told = await client.call('sandbox-faults_fail-400', { email: 'x' })
      assert.match(told.text, /not a valid email address/)
      facts.failed = told.failed || 'told to the model, not marked as failed'
      // As long as the server lets an output be, by the default of outputs.max_tokens.
      const large = await client.call('sandbox-faults_large-output', {})
      assert.ok(large.text.length > 60_000, `${large.text.length} characters of a large result`)
    }),
  dynamic: async () => {
    const enables = (headers) =>
      visit({ query: '?mode=dynamic', headers }, async (client) => {
        assert.deepEqual(await client.names(), ['enable-tools'])
        const enabled = await client.call('enable-tools', { tools: [LIST] })
        assert.ok(!enabled.failed, JSON.stringify(enabled))
        const end = Date.now() + 3000
        while (!(await client.names()).includes(LIST) && Date.now() < end) await sleep(100)
        if (!(await client.names()).includes(LIST)) return false
        assert.match((await client.call(LIST, {})).text, /events/)
        return true
      })
    const chat = { ...user(), 'x-chat-id': 'tea' }
    if (await enables(user())) facts.dynamic = 'yes'
    else if (await enables(chat)) facts.dynamic = 'with `x-chat-id`'
    else {
      const again = await visit({ query: '?mode=dynamic', headers: chat }, (client) => client.names())
      facts.dynamic = again.includes(LIST) ? 'with `x-chat-id`, after connecting anew' : 'no: never lists what was enabled'
    }
  },
  search: () =>
    visit({ query: '?mode=search', headers: user() }, async (client) => {
      assert.ok((await client.names()).includes('search-tools'))
      assert.ok((await client.call('search-tools', { query: 'list calendar events' })).text.includes(LIST))
      const ran = await client.call('run-read-tool', { name: LIST, arguments: {} })
      assert.ok(!ran.failed && ran.text.includes('events'), JSON.stringify(ran))
      facts.search = 'yes'
    }),
  restart: async () => {
    const kept = { ...settings, MCP__STORE__PATH: mkdtempSync(join(tmpdir(), 'store-')) }
    const first = await startServer(kept)
    const headers = user()
    await visit({ headers, at: first }, async (client) => {
      await client.names()
      await client.call(LIST, {})
      await first.stop()
      const second = await startServer({ ...kept, PORT: new URL(first.url).port })
      const works = async (client) => !(await client.call(LIST, {}).catch((error) => ({ failed: error.message }))).failed
      if (await works(client)) facts.restart = 'goes on'
      else if (await works(client)) facts.restart = 'goes on after one failed call'
      else {
        const anew = await visit({ headers, at: second }, async (client) => (await client.names()) && works(client))
        assert.ok(anew)
        facts.restart = 'connect anew'
      }
      await second.stop()
    })
  },
  renewal: async () => {
    const id = `user-${randomUUID()}`
    const old = `Bearer ${token(id, undefined, RENEWAL_S)}`
    const headers = { authorization: old }
    await visit({ headers }, async (client) => {
      await client.names()
      assert.ok(!(await client.call(LIST, {})).failed)
      headers.authorization = `Bearer ${token(id)}`
      const ask = () => real(`${server.url}/mcp/sessions`, { headers: { authorization: old } })
      while ((await ask()).ok) await sleep(200)
      const after = await client.call(LIST, {}).catch((error) => ({ failed: error.message }))
      facts.renewal = after.failed ? 'connect anew' : framework.renewal
    })
  },
  long: async () => {
    const takes = async (isPatient) => {
      let begun = Date.now()
      try {
        const slept = await visit({ headers: user(['sandbox-faults']), isPatient }, async (client) => {
          await client.names()
          begun = Date.now()
          return client.call('sandbox-faults_sleep', { ms: LONG_S * 1000 })
        })
        if (!slept.failed) return 'yes'
      } catch (error) {
        console.error('long:', error.message)
      }
      const passed = (Date.now() - begun) / 1000
      return `${Math.max(...[0, 3, 5, 10, 30, 60].filter((limit) => limit <= passed))} s`
    }
    const [brief, patient] = await Promise.all([takes(false), takes(true)])
    if (brief !== 'yes') assert.equal(patient, 'yes')
    facts.long = brief === 'yes' ? 'yes' : `${brief}; longer with ${framework.patience}`
  },
}

const failed = []
const only = process.env.ONLY?.split(' ')
async function watch(title, seconds) {
  if (only && !only.includes(title)) return
  const late = sleep(seconds * 1000, undefined, { ref: false }).then(() => assert.fail('no end of it'))
  await Promise.race([scenarios[title](), late]).catch((error) => failed.push(`${title}: ${error.message}`))
}
// Limits on time would fire late beside these, which keep the processor busy.
for (const title of ['basics', 'failures', 'dynamic', 'search', 'restart', 'forms']) await watch(title, 60)
await Promise.all(['long', 'renewal'].map((title) => watch(title, LONG_S + 60)))
const manifest = new URL(`node_modules/${framework.package}/package.json`, import.meta.url)
facts.package = framework.package
facts.version = JSON.parse(readFileSync(manifest)).version
facts.revision = [...revisions].sort().at(-1) ?? '2024-11-05'
facts.limits = framework.limits
writeFileSync(out, `${JSON.stringify(facts, Object.keys(facts).sort(), 2)}\n`)
writeFileSync(out.replace(/json$/, 'asked'), JSON.stringify(asked))
failed.forEach((failure) => console.error(`FAILED ${framework.package}: ${failure}`))
await server.stop()
process.exit(failed.length > 0 ? 1 : 0)
