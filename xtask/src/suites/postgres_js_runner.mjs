// Runs the tests of postgres.js one after the other, whatever becomes of those before, and writes a line for each to the file REPORT:
// `test NAME ... ok` or, in libtest's way, `FAILED`. ONLY has the names to be played, one a line; all, if it is not set.
import fs from 'fs'
import util from 'util'

const only = process.env.ONLY?.split('\n')
const tests = []

export const nt = () => {}
export const ot = (...rest) => t(...rest)
export const t = (name, options, test) => {
  if (typeof options === 'function') [options, test] = [{}, options]
  const before = tests.filter(one => one.called === name).length
  tests.push({ called: name, name: before ? `${name} #${before + 1}` : name, test, seconds: options.timeout })
}
t.timeout = 5

const play = async ({ test, seconds }) => {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('timed out')), (seconds || t.timeout) * 1000) })
  try {
    const [expected, got] = await Promise.race([Promise.resolve().then(test).then(pair => Promise.all(pair)), late])
    if (expected !== got) throw new Error(`${util.inspect(expected)} != ${util.inspect(got)}`)
  } finally {
    clearTimeout(timer)
  }
}

const playAll = async () => {
  for (const one of tests.filter(one => !only || only.includes(one.name))) {
    const problem = await play(one).then(() => null, error => error || new Error('rejected'))
    let lines = `test ${one.name} ... ${problem ? 'FAILED' : 'ok'}\n`
    if (problem) lines += `---- ${one.name} stdout ----\n${util.inspect(problem)}\n---- \n`
    fs.appendFileSync(process.env.REPORT, lines)
  }
  process.exit(0)
}

process.on('unhandledRejection', error => console.error('unhandled', error))
process.on('uncaughtException', error => console.error('uncaught', error))
// When the file of tests has been read to its end.
setTimeout(playAll, 0)
