// mysql2 and mariadb, the drivers of Node.js, as their users use them: the same checks for both, over a few backends that neighbours keep dirty.
//
// suites/mysql_program.py runs this; FOREBAY_DOORS names a JSON file with the ways to log in that it has opened.

'use strict'

const assert = require('node:assert/strict')
const { mkdtempSync, writeFileSync, rmSync, createReadStream, readFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const mysql2 = require('mysql2/promise')
const mariadb = require('mariadb')
const { target, run } = require('../node/report.js')

const options = target(process.argv.slice(2))
const { host, port, user, password, database } = options.login
const LOGIN = { host, port, user, password, database }
const numbers = (count) => Array.from({ length: count }, (_, i) => i)
const ROWS = options.quick ? 2000 : 50000

const DRIVERS = {
  mysql2: {
    methods: ['mysql_native_password', 'caching_sha2_password'],
    connect: (more = {}) => mysql2.createConnection({ ...LOGIN, multipleStatements: true, connectTimeout: 15000, infileStreamFactory: createReadStream, ...more }),
    pool: (more = {}) => mysql2.createPool({ ...LOGIN, ...more }),
    query: async (c, sql, values) => (await c.query(sql, values))[0],
    execute: async (c, sql, values) => (await c.execute(sql, values))[0],
    stream: (c, sql) => c.connection.query(sql).stream(),
    change: (c, more = {}) => c.changeUser({ user, password, database, ...more }),
    reset: (c) => c.reset(),
    thread: (c) => c.threadId,
    lent: (pool) => pool.getConnection(),
  },
  mariadb: {
    methods: ['mysql_native_password', 'caching_sha2_password', 'mysql_clear_password', 'ed25519', 'parsec'],
    connect: (more = {}) => mariadb.createConnection({ ...LOGIN, multipleStatements: true, connectTimeout: 15000, permitLocalInfile: true, allowPublicKeyRetrieval: true, insertIdAsNumber: true, bigIntAsNumber: true, ...more }),
    pool: (more = {}) => mariadb.createPool({ ...LOGIN, allowPublicKeyRetrieval: true, insertIdAsNumber: true, bigIntAsNumber: true, ...more }),
    query: (c, sql, values) => c.query(sql, values),
    execute: (c, sql, values) => c.execute(sql, values),
    stream: (c, sql) => c.queryStream(sql),
    change: (c, more = {}) => c.changeUser({ user, password, database, ...more }),
    reset: (c) => c.reset(),
    thread: (c) => c.threadId,
    lent: (pool) => pool.getConnection(),
  },
}

/** A connection, ended afterwards. */
async function withConnection(d, use, more) {
  const c = await d.connect(more)
  c.on?.('error', () => {})
  try {
    return await use(c)
  } finally {
    await Promise.race([c.end().catch(() => {}), pause(2000)])
  }
}

/** Two of them. */
const withTwo = (d, use) => withConnection(d, (a) => withConnection(d, (b) => use(a, b)))

/** The only value of the only row. */
const value = async (d, c, sql, values) => Object.values((await d.query(c, sql, values))[0])[0]

/** A table, dropped afterwards. */
async function withTable(d, name, columns, use) {
  await withConnection(d, (c) => d.query(c, `drop table if exists ${name}; create table ${name} (${columns})`))
  try {
    return await use(name)
  } finally {
    await withConnection(d, (c) => d.query(c, `drop table if exists ${name}`))
  }
}

const CHECKS = {
  async logs_in_by_every_method(d) {
    const doors = JSON.parse(readFileSync(process.env.FOREBAY_DOORS)).filter((door) => d.methods.includes(door.method))
    assert.ok(doors.length, 'there is a way to log in')
    for (const { name, ca, method, host, port, user, password, database } of doors) {
      const to = { host, port, user, password, database, ssl: ca ? { ca: readFileSync(ca) } : undefined }
      try {
        await withConnection(d, async (c) => assert.equal(await value(d, c, "select substring_index(current_user(), '@', 1)"), user), to)
      } catch (error) {
        throw new Error(`${name}: ${error.message}`, { cause: error })
      }
      for (const wrong of [{ password: 'wrong' }, { user: 'nobody', password: 'wrong' }, { password: '' }]) {
        await assert.rejects(d.connect({ ...to, ...wrong }), (error) => error.errno === 1045 || error.errno === 1698 || error.code === 'AUTH_SWITCH_PLUGIN_ERROR', `refused by ${name}`)
      }
    }
  },

  async values_by_both_protocols(d) {
    await withConnection(d, async (c) => {
      const sql = "select 1 as i, cast(9223372036854775807 as signed) as l, cast('12.30' as decimal(10,2)) as d, 1.5e0 as f, null as n, 'Ünal 🐟' as t, x'00ff5c' as b, cast('2001-02-03 04:05:06' as datetime) as at"
      for (const ask of [d.query, d.execute]) {
        const [row] = await ask(c, sql)
        assert.deepEqual([row.i, String(row.d), row.f, row.n, row.t, [...row.b], row.at.getFullYear()].map(String), [1, '12.30', 1.5, null, 'Ünal 🐟', [0, 255, 92], 2001].map(String))
        const [sent] = await ask(c, 'select ? as t, ? as n, ? as x, length(?) as l', ["it's \\ 🐟", 7, null, Buffer.from([0, 1, 2])])
        assert.deepEqual([sent.t, Number(sent.n), sent.x, Number(sent.l)], ["it's \\ 🐟", 7, null, 3])
      }
    })
  },

  async prepared_statements_of_many_clients(d) {
    const pool = d.pool({ connectionLimit: 8 })
    try {
      const answers = await Promise.all(numbers(120).map((i) => d.execute(pool, i % 3 ? 'select ? + ? as s, ? as t' : 'select ? * 1 + ? as s, ? as t', [i, 1, 'x'.repeat(i)])))
      answers.forEach(([row], i) => assert.deepEqual([Number(row.s), row.t.length], [i + 1, i]))
      const c = await d.lent(pool)
      await assert.rejects(d.execute(c, 'select * from no_such_table where 1 = ?', [1]), { errno: 1146 })
      assert.equal(Number((await d.execute(c, 'select ? as v', [7]))[0].v), 7)
      await c.release()
    } finally {
      await pool.end()
    }
  },

  async statements_that_are_prepared_and_closed(d) {
    await withTwo(d, async (a, b) => {
      for (const i of numbers(15)) {
        // With another text each time: mysql2 gives a closed statement again to whoever prepares its text.
        const [one, other] = [await a.prepare(`select ? + 1 as v, ${i} as i`), await b.prepare(`select ? * ${i} as v`)]
        const got = async (statement, v) => {
          const found = await statement.execute([v])
          return Number((Array.isArray(found[0]) ? found[0] : found)[0].v)
        }
        assert.deepEqual([await got(one, i), await got(other, 2), await got(one, 9)], [i + 1, 2 * i, 10])
        await one.close()
        await other.close()
      }
    })
  },

  async transactions(d) {
    await withTable(d, 'conformance_node_transactions', 'v int primary key', (name) => withTwo(d, async (a, b) => {
      const count = (c) => value(d, c, `select count(*) as n from ${name}`).then(Number)
      for (const i of numbers(6)) {
        await a.beginTransaction()
        await d.execute(a, `insert into ${name} values (?)`, [i])
        assert.equal(await count(b), Math.ceil(i / 2))
        await (i % 2 ? a.rollback() : a.commit())
      }
      await a.beginTransaction()
      await assert.rejects(d.query(a, `insert into ${name} values (0)`), { errno: 1062, sqlState: '23000' })
      await d.query(a, `insert into ${name} values (100)`)
      await a.commit()
      assert.equal(await count(b), 4)
    }))
  },

  async several_statements_at_once(d) {
    await withTable(d, 'conformance_node_several', 'v int primary key', (name) => withConnection(d, async (c) => {
      const found = await d.query(c, `select 1 as a; insert into ${name} values (1), (2); select 'x' as b, 2 as c`)
      assert.deepEqual([Number(found[0][0].a), found[1].affectedRows, found[2][0].b], [1, 2, 'x'])
      await assert.rejects(d.query(c, `insert into ${name} values (3); insert into ${name} values (1); insert into ${name} values (4)`), { errno: 1062 })
      assert.equal(Number(await value(d, c, `select count(*) as n from ${name}`)), 3)
      await d.query(c, "set @a = 5, time_zone = '+03:00'; begin; rollback")
      assert.deepEqual([Number(await value(d, c, 'select @a as v')), await value(d, c, 'select @@time_zone as v')], [5, '+03:00'])
    }))
  },

  async large_values(d) {
    await withConnection(d, async (c) => {
      const most = Number(await value(d, c, 'select @@max_allowed_packet as v'))
      for (const size of [1 << 16, 1 << 20, (1 << 24) - 60, (1 << 24) + 5, 40 << 20].filter((n) => n + 1000 < most)) {
        assert.equal(Number(await value(d, c, 'select length(?) as v', ['x'.repeat(size)])), size)
        assert.equal((await d.execute(c, 'select repeat(?, ?) as v', ['y', size]))[0].v.length, size)
        if (size < 1 << 24) assert.equal(Number((await d.execute(c, 'select length(?) as v', [Buffer.alloc(size, 'z')]))[0].v), size)
      }
    }, { maxAllowedPacket: 64 << 20 })
  },

  async files_of_the_client(d) {
    const folder = mkdtempSync(join(tmpdir(), 'forebay-conformance-'))
    const file = join(folder, 'rows.tsv')
    writeFileSync(file, numbers(ROWS).map((i) => `${i}\tvalue ${i}\n`).join(''))
    try {
      await withTable(d, 'conformance_node_load', 'i int, v varchar(20)', async (name) => {
        await withConnection(d, async (c) => {
          await d.query(c, `load data local infile '${file}' into table ${name}`)
          assert.deepEqual(Object.values((await d.query(c, `select count(*) as n, sum(i) as s from ${name}`))[0]).map(Number), [ROWS, (ROWS * (ROWS - 1)) / 2])
          await assert.rejects(d.query(c, `load data local infile '${file}' into table no_such_table`), { errno: 1146 })
          assert.equal(Number(await value(d, c, 'select 1 as v')), 1)
        })
        await withConnection(d, (c) => assert.rejects(d.query(c, `load data local infile '${folder}/nothing' into table ${name}`)))
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  },

  async rows_are_streamed(d) {
    await withTwo(d, async (c, other) => {
      const ten = numbers(10).map((i) => `select ${i} as v`).join(' union all ')
      const sql = `select a.v + 10 * b.v + 100 * c.v + 1000 * d.v as n, repeat('x', 100) as t from (${ten}) a, (${ten}) b, (${ten}) c, (${ten}) d`
      let [sum, rows] = [0, 0]
      for await (const row of d.stream(c, sql)) {
        sum += Number(row.n)
        if (++rows === 100) assert.equal(Number(await value(d, other, 'select 1 as v')), 1)
      }
      assert.deepEqual([rows, sum], [10000, 49995000])
      assert.equal(Number(await value(d, c, 'select 2 as v')), 2)
    })
  },

  async another_user_on_the_same_connection(d) {
    await withTwo(d, async (c, other) => {
      if (d === DRIVERS.mariadb && !(await value(d, c, 'select version() as v')).includes('MariaDB')) return // It refuses to with MySQL.
      for (const turn of numbers(3)) {
        await d.query(c, "set time_zone = '+05:00', @x = 5")
        await d.query(c, 'create temporary table conformance_node_changed (v int)')
        await d.execute(c, `select ? as v, ${turn} as turn`, [1]) // With another text each time: mariadb forgets none of its statements.
        await d.change(c)
        assert.deepEqual(Object.values((await d.query(c, 'select @x as x, @@time_zone = @@global.time_zone as z, database() as d'))[0]).map(String), ['null', '1', database])
        await assert.rejects(d.query(c, 'select * from conformance_node_changed'), { errno: 1146 })
        assert.equal(Number((await d.execute(c, `select ? + ${turn} as v`, [2]))[0].v), 2 + turn)
        assert.equal(Number(await value(d, other, 'select 1 as v')), 1)
      }
      await assert.rejects(d.change(c, { password: 'wrong' }), { errno: 1045 })
    })
  },

  async a_connection_is_reset(d) {
    await withConnection(d, async (c) => {
      for (const _ of numbers(3)) {
        await d.query(c, "set time_zone = '+05:00', @x = 5")
        await d.query(c, 'create temporary table conformance_node_changed (v int)')
        assert.equal(Number((await d.execute(c, 'select ? as v', [2]))[0].v), 2)
        await d.reset(c)
        assert.deepEqual(Object.values((await d.query(c, 'select @x as x, @@time_zone = @@global.time_zone as z, database() as d'))[0]).map(String), ['null', '1', database])
        assert.equal(Number((await d.execute(c, 'select ? as v', [2]))[0].v), 2)
      }
    })
  },

  async kill_query_and_kill(d) {
    await withTwo(d, async (victim, killer) => {
      let over = false
      const asleep = d.query(victim, 'select count(*) as n from (select sleep(20) union all select sleep(20)) s').then(() => 'an answer', (error) => error.errno).finally(() => (over = true))
      for (const begun = Date.now(); !over && Date.now() - begun < 15000; await pause(200)) await d.query(killer, `kill query ${d.thread(victim)}`)
      assert.ok([1317, 'an answer'].includes(await Promise.race([asleep, pause(500)])), 'the statement ends')
      assert.equal(Number(await value(d, victim, 'select 1 as v')), 1)
      await d.query(killer, `kill ${d.thread(victim)}`)
      await assert.rejects(async () => {
        for (const _ of numbers(50)) {
          await d.query(victim, 'select 1')
          await pause(20)
        }
      })
      assert.equal(Number(await value(d, killer, 'select 2 as v')), 2)
    })
  },

  async settings_follow_their_client(d) {
    await withTwo(d, async (a, b) => {
      await d.query(a, "set time_zone = '+05:00', sql_mode = 'ANSI_QUOTES', @x = 'of a'; use information_schema")
      const show = async (c) => Object.values((await d.query(c, 'select @@time_zone as z, @@sql_mode as m, @x as x, database() as d'))[0])
      const plain = await show(b)
      for (const _ of numbers(10)) assert.deepEqual([await show(a), await show(b)], [['+05:00', 'ANSI_QUOTES', 'of a', 'information_schema'], plain])
    })
  },

  async a_client_that_wants_compression_is_served(d) {
    await withConnection(d, async (c) => assert.equal(Number(await value(d, c, 'select length(?) as v', ['x'.repeat(100000)])), 100000), { compress: true })
  },

  async keys_and_batches(d) {
    await withTable(d, 'conformance_node_keys', 'id int auto_increment primary key, v varchar(20)', (name) => withTwo(d, async (a, b) => {
      for (const i of numbers(10)) {
        const c = i % 2 ? a : b
        const { insertId } = await d.execute(c, `insert into ${name} (v) values (?)`, [`v${i}`])
        assert.deepEqual([Number(insertId), Number(await value(d, c, 'select last_insert_id() as v'))], [i + 1, i + 1])
      }
      if (a.batch) {
        const done = [await a.batch(`insert into ${name} (v) values (?)`, numbers(200).map((i) => [`batch ${i}`]))].flat()
        assert.equal(done.reduce((sum, one) => sum + one.affectedRows, 0), 200)
        assert.equal(Number(await value(d, b, `select count(*) as n from ${name} where v like 'batch%'`)), 200)
      } else {
        assert.equal((await d.query(a, `insert into ${name} (v) values ?`, [numbers(200).map((i) => [`batch ${i}`])])).affectedRows, 200)
      }
    }))
  },

  async an_error_in_the_midst_of_a_pipeline(d) {
    await withConnection(d, async (c) => {
      const answers = await Promise.allSettled(numbers(30).map((i) => d.query(c, i % 5 === 3 ? 'select no_such_column' : `select ${i} as v`)))
      answers.forEach((answer, i) => (i % 5 === 3 ? assert.equal(answer.reason.errno, 1054) : assert.equal(Number(answer.value[0].v), i)))
    })
  },
}

/** Every check for every driver, under a name of its own; the short form has one driver. */
const chosen = Object.entries(DRIVERS).slice(0, options.quick && !options.match ? 1 : 2)
const all = chosen.flatMap(([name, driver]) =>
  Object.entries(CHECKS).map(([check, made]) => Object.defineProperty(() => made(driver), 'name', { value: `${name}_${check}` })))

const versions = ['mysql2', 'mariadb'].map((name) => `${name} ${JSON.parse(readFileSync(join(process.env.NODE_PATH, name, 'package.json'))).version}`)
console.log(`${versions.join(', ')}, Node.js ${process.versions.node}`)
run(all, options.match, 45)
