// One of the official suites: what it offers, and what came of a run of it.

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** How long a whole run may take. One takes a few seconds. */
const RUN_MS = 180_000

/** How a suite marks a scenario that belongs to no revision of the specification. */
const EXTENSION = 'extension'

/** The suite that is installed under this name. */
export async function openSuite(name) {
  const root = fileURLToPath(new URL(`node_modules/${name}/`, import.meta.url))
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const script = join(root, 'dist/index.js')
  const output = await node([script, 'list', '--server'])
  const offered = new Map()
  for (const [, scenario, revisions] of output.matchAll(/^\s*- (\S+) \[(.*)\]$/gm)) {
    offered.set(scenario, revisions.split(','))
  }
  if (offered.size === 0) throw new Error(`suite ${version} offers nothing:\n${output}`)
  const all = new Set([...offered.values()].flat())
  all.delete(EXTENSION)
  return new Suite(version, script, offered, [...all].sort())
}

class Suite {
  constructor(version, script, offered, revisions) {
    Object.assign(this, { version, script, offered, revisions })
  }

  /** The scenarios that belong to a revision; all, extensions too, where none is given. */
  scenarios(revision) {
    const all = [...this.offered]
    return all.filter(([, revisions]) => !revision || revisions.includes(revision)).map(([scenario]) => scenario)
  }

  /**
   * Runs all scenarios of a revision, or each at its own newest one, against the MCP endpoint at `url`.
   * Gives the checks of each scenario that ran; one that broke has none on file and gets a failing one.
   */
  async run(url, revision) {
    const folder = await mkdtemp(join(tmpdir(), 'conformance-'))
    const remove = () => rmSync(folder, { recursive: true, force: true })
    process.once('exit', remove)
    try {
      const only = revision ? ['--spec-version', revision] : []
      const output = await node([this.script, 'server', '--url', url, '--suite', 'all', ...only, '-o', folder])
      const results = new Map()
      for (const entry of await readdir(folder)) {
        const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry)?.[1]
        const text = await readFile(join(folder, entry, 'checks.json'), 'utf8').catch(() => null)
        if (scenario && text) results.set(scenario, JSON.parse(text))
      }
      for (const [, scenario] of output.matchAll(/^[✓✗] (\S+): \d+ passed/gm)) {
        if (!results.has(scenario)) results.set(scenario, [broken(scenario, output)])
      }
      return { results, output }
    } finally {
      process.off('exit', remove)
      remove()
    }
  }
}

function broken(scenario, output) {
  const said = `Failed to run scenario ${scenario}: `
  const line = output.split('\n').find((line) => line.startsWith(said))
  return { id: 'scenario-broke', status: 'FAILURE', errorMessage: line?.slice(said.length) ?? 'it left no checks' }
}

/** Runs a script to its end, whatever that is, and gives what it says. */
async function node(args) {
  const options = { stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_MS, killSignal: 'SIGKILL' }
  const child = spawn(process.execPath, args, options)
  const kill = () => child.kill('SIGKILL')
  // Before its folder is removed.
  process.prependOnceListener('exit', kill)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  process.off('exit', kill)
  return output
}
