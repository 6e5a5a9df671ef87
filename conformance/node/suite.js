// node-postgres: parameters, named statements, transactions, errors, pools, cursors, COPY by streams.
//
// Packages come from NODE_PATH, which run.py points at an install of package-lock.json.

'use strict'

const assert = require('node:assert/strict')
const { Readable, Writable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const copy = require('pg-copy-streams')
const { target, run } = require('./report.js')

const options = target(process.argv.slice(2))

/** Runs `use` with a connected client and ends it. */
async function withClient(use, more = {}) {
  const client = new Client({ ...options.login, ...more })
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** Creates an empty table. */
const freshTable = (columns) => withClient((c) => c.query(`drop table if exists conformance_node; create table conformance_node (${columns})`))

/** SQLSTATE that a promise is rejected with. */
async function codeOf(promise) {
  try {
    await promise
  } catch (error) {
    return error.code
  }
  return null
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

async function simple_queries() {
  await withClient(async (c) => {
    assert.deepEqual((await c.query('select 1 as a, null as b')).rows, [{ a: 1, b: null }])
    const several = await c.query('select 1 as a; select 2 as b')
    assert.deepEqual(several.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }])
    assert.deepEqual((await c.query('')).rows, [])
  })
}

async function parameters_of_many_types() {
  await withClient(async (c) => {
    const values = [7, 'é', true, null, new Date(0), Buffer.from([0, 255]), [1, 2], { a: 1 }]
    const sql = 'select $1::int as i, $2::text as t, $3::bool as b, $4::text as n, $5::timestamptz as d, $6::bytea as y, $7::int[] as l, $8::jsonb as j'
    const row = (await c.query(sql, values)).rows[0]
    assert.deepEqual(Object.values(row), values)
  })
}

async function named_statements() {
  await withClient(async (a) =>
    withClient(async (b) => {
      for (let i = 0; i < 50; i++) {
        const own = (await a.query({ name: 'same', text: 'select $1::int + 1 as v', values: [i] })).rows[0].v
        const other = (await b.query({ name: 'same', text: "select $1::text || '!' as v", values: [i] })).rows[0].v
        assert.deepEqual([own, other], [i + 1, `${i}!`])
      }
    }),
  )
}

async function many_named_statements() {
  await withClient(async (c) => {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) {
        const { rows } = await c.query({ name: `n${i}`, text: `select ${i} + $1::int as v`, values: [round] })
        assert.equal(rows[0].v, i + round)
      }
    }
  })
}

async function queries_queued_without_waiting() {
  await withClient(async (c) => {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => c.query('select $1::int as v', [i])))
    assert.deepEqual(answers.map((r) => r.rows[0].v), Array.from({ length: 300 }, (_, i) => i))
  })
}

async function results_in_binary_and_as_arrays() {
  await withClient(async (c) => {
    assert.deepEqual((await c.query({ text: 'select 1::int4 as a, 2::int4 as b', rowMode: 'array', binary: true })).rows, [[1, 2]])
  })
}

async function transactions() {
  await freshTable('v int')
  await withClient(async (c) => {
    await c.query('begin')
    await c.query('insert into conformance_node values ($1)', [1])
    await c.query('savepoint s')
    assert.equal(await codeOf(c.query('select 1/0')), '22012')
    assert.equal(await codeOf(c.query('select 1')), '25P02')
    await c.query('rollback to s')
    await c.query('commit')
    await c.query('begin')
    await c.query('insert into conformance_node values ($1)', [2])
    await c.query('rollback')
    assert.deepEqual((await c.query('select v from conformance_node')).rows, [{ v: 1 }])
  })
}

async function errors_leave_the_client_usable() {
  await withClient(async (c) => {
    for (const [sql, values, code] of [
      ['select 1/0', undefined, '22012'],
      ['selec', undefined, '42601'],
      ['select $1::int', ['x'], '22P02'],
      ['select * from conformance_none where v = $1', [1], '42P01'],
    ]) {
      assert.equal(await codeOf(c.query(sql, values)), code)
      assert.equal((await c.query('select $1::text as v', ['alive'])).rows[0].v, 'alive')
    }
    assert.equal(await codeOf(c.query({ name: 'broken', text: 'selec' })), '42601')
    assert.equal((await c.query({ name: 'broken', text: 'select 1 as v' })).rows[0].v, 1)
  })
}

async function an_error_in_the_middle_of_queued_queries() {
  await withClient(async (c) => {
    const results = await Promise.allSettled([c.query('select $1::int as v', [1]), c.query('select 1/$1::int', [0]), c.query('select $1::int as v', [3])])
    assert.deepEqual(results.map((r) => (r.status === 'fulfilled' ? r.value.rows[0].v : r.reason.code)), [1, '22012', 3])
  })
}

async function notices() {
  await withClient(async (c) => {
    const heard = []
    c.on('notice', (n) => heard.push(n.message))
    await c.query("do $$ begin raise notice 'one'; raise notice 'two'; end $$")
    assert.deepEqual(heard, ['one', 'two'])
  })
}

async function a_pool_of_thirty() {
  const pool = new Pool({ ...options.login, max: 30 })
  const rounds = options.quick ? 4 : 20
  await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      for (let j = 0; j < rounds; j++) {
        const tag = `task ${i} round ${j}`
        assert.equal((await pool.query('select $1::text as v', [tag])).rows[0].v, tag)
        assert.equal((await pool.query({ name: 'tagged', text: "select $1::text || '' as v", values: [tag] })).rows[0].v, tag)
      }
    }),
  )
  await pool.end()
}

async function transactions_on_a_pool() {
  await freshTable('own text, part int')
  const pool = new Pool({ ...options.login, max: 20 })
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const c = await pool.connect()
      try {
        await c.query('begin')
        for (const part of [1, 2]) await c.query('insert into conformance_node values ($1, $2)', [`own ${i}`, part])
        assert.equal((await c.query('select count(*)::int as n from conformance_node where own = $1', [`own ${i}`])).rows[0].n, 2)
        await c.query(i % 2 ? 'commit' : 'rollback')
      } finally {
        c.release()
      }
    }),
  )
  assert.equal((await pool.query('select count(*)::int as n from conformance_node')).rows[0].n, 40)
  await pool.end()
}

async function a_cursor_in_portions() {
  await withClient(async (c) => {
    await c.query('begin')
    const cursor = c.query(new Cursor('select generate_series(1, $1::int) as v', [1000]))
    let sum = 0
    for (let rows = await cursor.read(70); rows.length; rows = await cursor.read(70)) sum += rows.reduce((s, r) => s + r.v, 0)
    assert.equal(sum, 500500)
    await cursor.close()
    await c.query('commit')
  })
}

async function a_cursor_without_a_transaction_closed_early() {
  await withClient(async (c) => {
    for (let i = 0; i < 3; i++) {
      const cursor = c.query(new Cursor('select generate_series(1, 1000) as v'))
      assert.equal((await cursor.read(10)).length, 10)
      await withClient(async (other) => assert.equal((await other.query('select 5 as v')).rows[0].v, 5))
      assert.deepEqual((await cursor.read(1))[0], { v: 11 })
      await cursor.close()
      assert.equal((await c.query('select 1 as v')).rows[0].v, 1)
    }
  })
}

async function copy_in_and_out() {
  await freshTable('v int, t text')
  await withClient(async (c) => {
    const lines = Array.from({ length: 20000 }, (_, i) => `${i}\tline ${i}\n`)
    await pipeline(Readable.from(lines), c.query(copy.from('copy conformance_node from stdin')))
    const got = []
    await pipeline(c.query(copy.to('copy (select * from conformance_node order by v) to stdout')), collect(got))
    assert.equal(Buffer.concat(got).toString(), lines.join(''))
    assert.equal((await c.query('select count(*)::int as n from conformance_node')).rows[0].n, 20000)
  })
}

/** A writable stream that keeps its chunks. */
function collect(chunks) {
  return new Writable({
    write(chunk, _, next) {
      chunks.push(chunk)
      next()
    },
  })
}

async function a_copy_of_bad_data() {
  await freshTable('v int')
  await withClient(async (c) => {
    const lines = Array.from({ length: 5000 }, (_, i) => (i === 4000 ? 'bad\n' : `${i}\n`))
    assert.equal(await codeOf(pipeline(Readable.from(lines), c.query(copy.from('copy conformance_node from stdin')))), '22P02')
    assert.equal((await c.query('select count(*)::int as n from conformance_node')).rows[0].n, 0)
  })
}

async function a_copy_broken_off_by_the_client() {
  await freshTable('v int')
  await withClient(async (c) => {
    const stream = c.query(copy.from('copy conformance_node from stdin'))
    stream.on('error', () => {})
    stream.write('1\n2\n')
    await sleep(50)
    await new Promise((done) => {
      stream.once('close', done)
      stream.destroy(new Error('changed my mind'))
    })
    assert.equal((await c.query('select count(*)::int as n from conformance_node')).rows[0].n, 0)
  })
}

async function statement_timeout_at_connect() {
  await withClient(
    async (c) => {
      assert.equal(await codeOf(c.query('select pg_sleep(20)')), '57014')
      assert.equal((await c.query('show statement_timeout')).rows[0].statement_timeout, '250ms')
    },
    { statement_timeout: 250 },
  )
  await withClient(async (c) => assert.equal((await c.query('show statement_timeout')).rows[0].statement_timeout, '0'))
}

async function startup_settings_follow_the_client() {
  const clients = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const c = new Client({ ...options.login, application_name: `node ${i}`, options: `-c search_path=n${i} -c work_mem=${1000 + i}kB` })
      await c.connect()
      return c
    }),
  )
  const sql = "select current_setting('application_name') as a, current_setting('search_path') as s, current_setting('work_mem') as w"
  for (let round = 0; round < 10; round++) {
    const rows = await Promise.all(clients.map((c) => c.query(sql)))
    rows.forEach((r, i) => assert.deepEqual(r.rows[0], { a: `node ${i}`, s: `n${i}`, w: `${1000 + i}kB` }))
  }
  await Promise.all(clients.map((c) => c.end()))
}

async function a_client_destroyed_in_the_middle_of_a_query() {
  for (let i = 0; i < 10; i++) {
    const c = new Client(options.login)
    c.on('error', () => {})
    await c.connect()
    c.query("begin; select repeat('x', 100000), pg_sleep(0.01)").catch(() => {})
    await sleep(3)
    c.connection.stream.destroy()
  }
  await withClient(async (c) => {
    for (let i = 0; i < 20; i++) assert.equal((await c.query('select $1::int as v', [i])).rows[0].v, i)
  })
}

async function large_parameters_and_results() {
  const text = 'x'.repeat(10_000_000)
  await withClient(async (c) => {
    assert.ok((await c.query('select $1::text as v', [text])).rows[0].v === text)
    assert.equal((await c.query('select 1 as v')).rows[0].v, 1)
  })
}

async function a_wrong_password_is_28P01() {
  const c = new Client({ ...options.login, password: 'wrong' })
  c.on('error', () => {})
  assert.equal(await codeOf(c.connect()), '28P01')
}

async function an_unknown_database_is_3D000() {
  const c = new Client({ ...options.login, database: 'conformance_nowhere' })
  c.on('error', () => {})
  assert.equal(await codeOf(c.connect()), '3D000')
}

async function tls_with_a_verified_certificate() {
  const ca = require('node:fs').readFileSync(options.tls_ca)
  const port = Number(options.tls_port || options.port)
  for (const more of [{}, { enableChannelBinding: true }]) {
    await withClient(async (c) => assert.equal((await c.query('select 1 as v')).rows[0].v, 1), { port, ssl: { ca }, ...more })
  }
}

run(
  [
    simple_queries, parameters_of_many_types, named_statements, many_named_statements, queries_queued_without_waiting,
    results_in_binary_and_as_arrays, transactions, errors_leave_the_client_usable, an_error_in_the_middle_of_queued_queries,
    notices, a_pool_of_thirty, transactions_on_a_pool, a_cursor_in_portions, a_cursor_without_a_transaction_closed_early,
    copy_in_and_out, a_copy_of_bad_data, a_copy_broken_off_by_the_client, statement_timeout_at_connect,
    startup_settings_follow_the_client, a_client_destroyed_in_the_middle_of_a_query, large_parameters_and_results,
    a_wrong_password_is_28P01, an_unknown_database_is_3D000, ...(options.tls_ca ? [tls_with_a_verified_certificate] : []),
  ],
  options.match,
)
