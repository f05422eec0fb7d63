// The server under test, with its sandbox.

import { spawn } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'

/** The apps whose actions are the suites' fixtures; users have them only if their token says so. */
const APPS = ['test', 'json']

const START_MS = 20_000
const STOP_MS = 10_000

/** Starts the binary on a free port, with these settings besides its own. */
export async function startServer(binary, settings) {
  const secret = randomUUID()
  const env = {
    PORT: '0',
    MCP__ADMIN__PORT: '0',
    MCP__STORE__PATH: '',
    MCP__LOG__FILTER: 'trace',
    MCP__SANDBOX__SECRET: secret,
    // The fixture that must tell of progress three times runs for 600 ms.
    MCP__TUNING__STREAM_AFTER_MS: '200',
    MCP__TUNING__PROGRESS_MS: '100',
    ...settings,
  }
  const server = spawn(binary, ['--sandbox'], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = () => server.kill('SIGKILL')
  process.once('exit', kill)
  let log = ''
  server.stderr.setEncoding('utf8').on('data', (text) => (log += text))

  const url = new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${binary}: ${why}\n${log}`))
    const patience = setTimeout(fail, START_MS, 'it does not start')
    server.on('error', (error) => fail(error.message))
    server.on('exit', () => fail('it has ended'))
    server.stderr.on('data', () => {
      const address = /listening on (http:\S+)\s/.exec(log)?.[1]
      if (!address) return
      clearTimeout(patience)
      resolve(address)
    })
  })
  const token = mint(secret)
  const signature = token.split('.')[2]
  return {
    url: await url,
    token,
    /** Stops it. Gives what went wrong in its life. */
    async stop() {
      const trouble = []
      if (server.exitCode === null && server.signalCode === null) {
        const killing = setTimeout(kill, STOP_MS)
        server.kill('SIGTERM')
        await once(server, 'close')
        clearTimeout(killing)
        if (server.exitCode !== 0) trouble.push('it did not stop when told to')
      } else {
        trouble.push('it ended before it was told to')
      }
      process.off('exit', kill)
      const lines = log.split('\n')
      const shown = lines.filter((line) => line.includes(signature) || line.includes(secret))
      if (shown.length > 0) trouble.push(`a token shows in its log: ${shown[0]}`)
      return [...trouble, ...lines.filter((line) => /^\S+ ERROR |panicked/.test(line))]
    },
  }
}

/** A token for the sandbox: a JWT, HS256. */
function mint(secret) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 3600
  const claims = { id: 'conformance', iss: 'sandbox', exp, fields: { connections: APPS } }
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
