// Options and report lines as kit/target.py and kit/report.py have them, for the node-postgres suite.

'use strict'

/** Reads `--name value` pairs and the flag `--quick`. */
function target(words) {
  const options = { quick: false }
  for (let i = 0; i < words.length; i++) {
    const name = words[i].replace(/^--/, '').replace(/-/g, '_')
    if (name === 'quick') options.quick = true
    else options[name] = words[++i]
  }
  const { host, port, user, password, database } = options
  options.login = { host, port: Number(port), user, password, database, connectionTimeoutMillis: 15000, ssl: false }
  return options
}

/** Runs named checks in order, each with a deadline, and ends the process. */
async function run(checks, match, seconds = 30) {
  let failures = 0
  process.on('unhandledRejection', () => {}) // Of checks that were given up.
  process.on('uncaughtException', () => {})
  for (const check of checks) {
    if (match && !check.name.includes(match)) continue
    try {
      await withDeadline(check(), seconds)
      console.log(`ok ${check.name}`)
    } catch (error) {
      failures++
      console.log(`FAIL ${check.name}: ${reason(error)}`)
      hangUp()
    }
  }
  console.log('done')
  process.exit(failures ? 1 : 0)
}

/** Ends every connection: what a failed check left open would hold backends and fail the next ones too. */
function hangUp() {
  for (const handle of process._getActiveHandles()) if (handle.remotePort) handle.destroy()
}

/** Rejects when `promise` takes too long: a proxy's usual fault is to answer nothing. */
function withDeadline(promise, seconds) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${seconds} s`)), seconds * 1000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** One line: the message and the first line of ours in the stack. */
function reason(error) {
  const place = /((?:suite|stock|prisma)\.js:\d+)/.exec(error.stack || '')
  const text = `${error.code ? error.code + ' ' : ''}${error.message}`.replace(/\s+/g, ' ')
  return `${text.slice(0, 500)} (${place ? place[1] : 'suite.js'})`
}

module.exports = { target, run }
