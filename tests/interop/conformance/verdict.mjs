// What counts as passed. `not-applicable.json` lists what a server of tools alone can't pass, with the reason for each:
// whole scenarios, and single checks of scenarios that must pass otherwise. The list is exact: what stands on it must
// fail, so that nothing stays there unnoticed.

import { readFile } from 'node:fs/promises'

/** Whether every message fits the revision's schema. Nothing excuses it, whatever else a scenario wants. */
const SCHEMA = 'wire-schema-valid'

export const NOT_APPLICABLE = 'not-applicable.json'

export async function readExceptions() {
  return JSON.parse(await readFile(new URL(NOT_APPLICABLE, import.meta.url), 'utf8'))
}

/** Judges a scenario by its checks, if it ran at all: `passed`, `failed` or `excused`, and why. */
export function judge(scenario, checks, exceptions) {
  if (!checks) return failed(['it never ran'])
  const failures = new Map(checks.filter(({ status }) => status === 'FAILURE').map((check) => [check.id, told(check)]))
  const reason = exceptions.scenarios[scenario]
  if (reason) {
    if (failures.has(SCHEMA)) return failed([failures.get(SCHEMA)])
    if (failures.size === 0) return failed([`it passes: strike it from ${NOT_APPLICABLE}`])
    return { state: 'excused', why: [reason] }
  }
  const listed = Object.keys(exceptions.checks[scenario] ?? {})
  const unlisted = [...failures.keys()].filter((id) => !listed.includes(id))
  const stale = listed.filter((id) => !failures.has(id))
  const why = [
    ...unlisted.map((id) => failures.get(id)),
    ...stale.map((id) => `${id} does not fail: strike it from ${NOT_APPLICABLE}`),
  ]
  if (why.length > 0) return failed(why)
  const warnings = checks.filter(({ status }) => status === 'WARNING')
  return { state: 'passed', why: [...listed.map((id) => `${id}: not applicable`), ...warnings.map(told)] }
}

/** The listed names that no suite offers. */
export function unknownNames(exceptions, offered) {
  const listed = [...Object.keys(exceptions.scenarios), ...Object.keys(exceptions.checks)]
  return listed.filter((scenario) => !offered.has(scenario))
}

function failed(why) {
  return { state: 'failed', why }
}

function told({ id, status, errorMessage, description }) {
  const what = (errorMessage ?? description ?? '').replaceAll(/\s+/g, ' ').slice(0, 300)
  return `${id}${status === 'WARNING' ? ' (a warning)' : ''}: ${what}`
}
