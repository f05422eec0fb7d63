// Runs the official conformance suites against the server. The argument is its binary.

import { startProxy } from './proxy.mjs'
import { startServer } from './server.mjs'
import { openSuite } from './suite.mjs'
import { NOT_APPLICABLE, judge, readExceptions, unknownNames } from './verdict.mjs'

/** The server's manners to answer, and to list: the suites must pass in each. */
const MANNERS = [
  { name: 'answers as JSON', query: '', settings: {} },
  { name: 'answers as event streams', query: '', settings: { MCP__TUNING__STREAM_AFTER_MS: '0' } },
  // The suites look for a tool with headers of its own, which the five lack.
  { name: 'lists by search', query: '?mode=search&pin=test_custom_headers', settings: {} },
]

const MARKS = { passed: 'ok  ', excused: 'n/a ', failed: 'FAIL' }

const count = { passed: 0, excused: 0, failed: 0 }

function report(what, { state, why }) {
  count[state] += 1
  const [first, ...rest] = why
  console.log(`${MARKS[state]} ${what}${first ? ` - ${first}` : ''}`)
  for (const line of rest) console.log(`     ${line}`)
}

async function runManner({ name, query, settings }, binary, suites, exceptions) {
  const server = await startServer(binary, settings)
  const proxy = await startProxy(server.url, server.token, query)
  for (const suite of suites) {
    // Without a revision come the extensions as well.
    for (const revision of [undefined, ...suite.revisions]) {
      console.log(`\nsuite ${suite.version}, ${revision ?? 'all'}, ${name}`)
      const { results, output } = await suite.run(`${proxy.url}/mcp`, revision)
      const wanted = new Set([...suite.scenarios(revision), ...results.keys()])
      for (const scenario of wanted) report(scenario, judge(scenario, results.get(scenario), exceptions))
      if (results.size === 0) console.log(output)
    }
  }
  proxy.stop()
  const trouble = await server.stop()
  report('the server stays sound', { state: trouble.length > 0 ? 'failed' : 'passed', why: trouble })
}

// What runs is killed as this process exits.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

const [binary] = process.argv.slice(2)
if (!binary) throw new Error('which binary?')
const exceptions = await readExceptions()
const suites = [await openSuite('conformance-1'), await openSuite('conformance-2')]
const offered = new Set(suites.flatMap((suite) => suite.scenarios()))
for (const name of unknownNames(exceptions, offered)) {
  report(name, { state: 'failed', why: [`no suite offers it: strike it from ${NOT_APPLICABLE}`] })
}
for (const manner of MANNERS) await runManner(manner, binary, suites, exceptions)

console.log(`\n${count.excused} times a scenario does not apply: ${NOT_APPLICABLE} tells why.`)
console.log(`${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 1 : 0
