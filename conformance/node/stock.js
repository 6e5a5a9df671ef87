// Stock software of Node.js untuned: node-postgres' pool, postgres.js, Knex, Sequelize and TypeORM, as their documentation has them used.
//
// suites/stock_program.py runs this where two backends are shared with neighbours who leave them dirty, and sees that nothing pins.

'use strict'

const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Pool } = require('pg')
const postgres = require('postgres')
const { target, run } = require('./report.js')

const options = target(process.argv.slice(2))
const { host, port, user, password, database } = options.login
const numbers = (count) => Array.from({ length: count }, (_, i) => i)

/** What a client that has set nothing sees. */
const PLAIN = { name: '', path: '"$user", public', zone: 'plain', style: 'ISO, MDY', memory: '4MB' }
const SETTINGS = `select current_setting('application_name') as name, current_setting('search_path') as path, current_setting('datestyle') as style, current_setting('work_mem') as memory`

/** node-postgres' pool, ended afterwards. */
async function withPool(more, use) {
  const pool = new Pool({ ...options.login, ...more })
  pool.on('error', () => {})
  try {
    return await use(pool)
  } finally {
    await pool.end()
  }
}

async function node_postgres_by_its_pool() {
  await withPool({ max: 6, application_name: 'pooled', statement_timeout: 9000, options: '-c work_mem=5MB' }, async (pool) => {
    const answers = await Promise.all(numbers(60).map((i) => pool.query('select $1::int + 1 as v', [i])))
    assert.deepEqual(answers.map((a) => a.rows[0].v), numbers(60).map((i) => i + 1))
    const { zone, ...plain } = PLAIN
    assert.deepEqual((await pool.query(SETTINGS)).rows[0], { ...plain, name: 'pooled', memory: '5MB' })
    assert.deepEqual((await pool.query('show statement_timeout')).rows[0], { statement_timeout: '9s' })
  })
}

async function node_postgres_in_transactions_with_named_statements() {
  await withPool({ max: 3 }, async (pool) => {
    await pool.query('drop table if exists conformance_node_stock')
    await pool.query('create table conformance_node_stock (v int primary key)')
    for (const i of numbers(12)) {
      const c = await pool.connect()
      try {
        await c.query(i % 3 ? 'BEGIN' : 'BEGIN ISOLATION LEVEL SERIALIZABLE')
        await c.query({ name: 'insert', text: 'insert into conformance_node_stock values ($1)', values: [i] })
        await c.query({ name: 'count', text: 'select count(*)::int as n from conformance_node_stock where v <= $1', values: [i] })
        if (i % 2) await c.query('ROLLBACK')
        else await c.query('COMMIT')
      } finally {
        c.release()
      }
    }
    assert.deepEqual((await pool.query('select array_agg(v order by v) as l from conformance_node_stock')).rows[0].l, [0, 2, 4, 6, 8, 10])
    await assert.rejects(pool.query('insert into conformance_node_stock values (0)'), { code: '23505' })
    await pool.query('drop table conformance_node_stock')
  })
}

/** postgres.js, ended afterwards. */
async function withPostgresJs(more, use) {
  const sql = postgres({ host, port, user, password, database, max: 3, onnotice: () => {}, ...more })
  try {
    return await use(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function postgres_js_with_its_defaults() {
  await withPostgresJs({}, async (sql) => {
    const answers = await Promise.all(numbers(200).map((i) => sql`select ${i}::int * 2 as v, current_setting('application_name') as name`))
    assert.deepEqual(answers.map((a) => a[0].v), numbers(200).map((i) => i * 2))
    assert.ok(answers.every((a) => a[0].name === 'postgres.js'))
    assert.deepEqual((await sql`select ${[1, 2, 3]}::int[] as l, ${sql.json({ a: 1 })}::jsonb as j, ${new Date(0)}::timestamptz as d`)[0], { l: [1, 2, 3], j: { a: 1 }, d: new Date(0) })
    await assert.rejects(sql`select 1/0`, { code: '22012' })
  })
}

async function postgres_js_in_transactions() {
  await withPostgresJs({ connection: { application_name: 'own', search_path: 'public', TimeZone: 'Asia/Tokyo' } }, async (sql) => {
    await sql`drop table if exists conformance_postgres_js`
    await sql`create table conformance_postgres_js (id serial primary key, v int unique, t text)`
    await sql`insert into conformance_postgres_js ${sql(numbers(20).map((i) => ({ v: i, t: `row ${i}` })))}`
    await assert.rejects(
      sql.begin(async (tx) => {
        await tx`update conformance_postgres_js set v = v + 100`
        await tx`insert into conformance_postgres_js (v) values (100)`
      }),
      { code: '23505' },
    )
    await sql.begin('isolation level serializable', async (tx) => {
      assert.equal((await tx`show transaction_isolation`)[0].transaction_isolation, 'serializable')
      await tx.savepoint((sp) => sp`insert into conformance_postgres_js (v) values (0)`).catch(() => {})
      await Promise.all(numbers(10).map((i) => tx`update conformance_postgres_js set t = ${'new ' + i} where v = ${i}`))
    })
    assert.equal((await sql`select count(*)::int as n from conformance_postgres_js where t like 'new%'`)[0].n, 10)
    assert.deepEqual({ ...(await sql`select current_setting('timezone') as z, current_setting('application_name') as n`)[0] }, { z: 'Asia/Tokyo', n: 'own' })
    await sql`drop table conformance_postgres_js`
  })
}

async function postgres_js_cursors_and_copy() {
  await withPostgresJs({}, async (sql) => {
    let sum = 0
    await sql`select g from generate_series(1, 500) g`.cursor(50, (rows) => rows.forEach((row) => (sum += row.g)))
    assert.equal(sum, 125250)
    const readable = await sql`copy (select g from generate_series(1, 300) g) to stdout`.readable()
    let text = ''
    for await (const chunk of readable) text += chunk
    assert.equal(text.trim().split('\n').length, 300)
    const parts = await sql.unsafe('select 1 as a; select 2 as a')
    assert.deepEqual(parts.map((p) => p[0].a), [1, 2])
  })
  await withPostgresJs({ prepare: false, fetch_types: false }, async (sql) => {
    for (const i of numbers(20)) assert.equal((await sql`select ${'x' + i}::text as v`)[0].v, 'x' + i)
  })
}

async function postgres_js_listens_on_a_connection_of_its_own() {
  await withPostgresJs({}, async (sql) => {
    let heard
    const hearing = new Promise((done) => (heard = done))
    const { unlisten } = await sql.listen('conformance_js', heard)
    await sql.notify('conformance_js', "it's")
    assert.equal(await hearing, "it's")
    await unlisten()
  })
}

async function knex_migrates_and_queries() {
  const knex = require('knex')({ client: 'pg', connection: { ...options.login }, pool: { min: 0, max: 4 }, searchPath: ['conformance_knex', 'public'] })
  try {
    await knex.raw('drop schema if exists conformance_knex cascade')
    await knex.raw('create schema conformance_knex')
    const migrations = [{ name: 'one', up: (k) => k.schema.createTable('things', (t) => (t.increments('id'), t.string('name').unique(), t.decimal('price', 10, 2), t.timestamps(true, true))), down: (k) => k.schema.dropTable('things') }]
    const migrationSource = { getMigrations: async () => migrations, getMigrationName: (m) => m.name, getMigration: async (m) => m }
    await knex.migrate.latest({ migrationSource })
    await knex.batchInsert('things', numbers(300).map((i) => ({ name: `t${i}`, price: i })), 100)
    await assert.rejects(knex.transaction(async (trx) => {
      await trx('things').where('id', '<', 10).delete()
      await trx('things').insert({ name: 't200', price: 1 })
    }))
    await knex.transaction(async (trx) => {
      await trx('things').forUpdate().where({ name: 't1' }).first()
      await trx.transaction((inner) => inner('things').update({ price: 7 }).where({ name: 't1' }))
    }, { isolationLevel: 'repeatable read' })
    assert.equal((await knex('things').where({ name: 't1' }).first()).price, '7.00')
    assert.deepEqual(await knex('things').count('* as n').first(), { n: '300' })
    assert.equal((await knex.raw('show search_path')).rows[0].search_path, 'conformance_knex, public')
    assert.ok(await knex.schema.hasTable('things'))
    await knex.migrate.rollback({ migrationSource })
    await knex.raw('drop schema conformance_knex cascade')
  } finally {
    await knex.destroy()
  }
}

async function sequelize_syncs_and_queries() {
  const { Sequelize, DataTypes, Transaction } = require('sequelize')
  const sequelize = new Sequelize(database, user, password, { host, port, dialect: 'postgres', logging: false, pool: { max: 4 }, timezone: '+02:00' })
  try {
    const Thing = sequelize.define('thing', { name: { type: DataTypes.STRING, unique: true }, price: DataTypes.DECIMAL(10, 2), data: DataTypes.JSONB, kind: DataTypes.ENUM('a', 'b') }, { tableName: 'conformance_sequelize' })
    const Part = sequelize.define('part', { label: DataTypes.TEXT }, { tableName: 'conformance_sequelize_part' })
    Thing.hasMany(Part)
    await sequelize.sync({ force: true })
    await Thing.bulkCreate(numbers(50).map((i) => ({ name: `t${i}`, price: i, data: { i }, kind: i % 2 ? 'a' : 'b' })))
    await sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) => {
      const thing = await Thing.findOne({ where: { name: 't3' }, lock: true, transaction })
      await Part.create({ label: 'part', thingId: thing.id }, { transaction })
    })
    await assert.rejects(sequelize.transaction(async (transaction) => {
      await Thing.destroy({ where: {}, transaction })
      throw new Error('undone')
    }))
    const found = await Thing.findAll({ where: { 'data.i': 3 }, include: Part })
    assert.deepEqual(found.map((t) => [t.name, t.price, t.parts.length]), [['t3', '3.00', 1]])
    const [made, isNew] = await Thing.findOrCreate({ where: { name: 'new' }, defaults: { kind: 'a' } })
    assert.deepEqual([made.name, isNew, await Thing.count()], ['new', true, 51])
    await sequelize.drop({})
  } finally {
    await sequelize.close()
  }
}

async function typeorm_synchronizes_and_queries() {
  require('reflect-metadata')
  const { DataSource, EntitySchema } = require('typeorm')
  const Thing = new EntitySchema({ name: 'Thing', tableName: 'conformance_typeorm', columns: { id: { type: 'uuid', primary: true, generated: 'uuid' }, name: { type: String, unique: true }, price: { type: 'numeric', precision: 10, scale: 2 }, at: { type: 'timestamptz', createDate: true } } })
  const source = new DataSource({ type: 'postgres', host, port, username: user, password, database, entities: [Thing], synchronize: false, poolSize: 4, applicationName: 'typeorm', installExtensions: false, uuidExtension: 'pgcrypto' })
  await source.initialize()
  try {
    await source.query('drop table if exists conformance_typeorm')
    await source.synchronize()
    await source.synchronize()
    const things = source.getRepository(Thing)
    await things.save(numbers(30).map((i) => ({ name: `t${i}`, price: i })))
    await source.transaction('SERIALIZABLE', async (manager) => {
      await manager.update(Thing, { name: 't1' }, { price: 100 })
      assert.equal((await manager.query('show transaction_isolation'))[0].transaction_isolation, 'serializable')
    })
    await assert.rejects(source.transaction(async (manager) => {
      await manager.delete(Thing, {})
      await manager.insert(Thing, { name: 'one', price: 'much' })
    }))
    assert.equal(await things.count(), 30)
    assert.equal((await things.createQueryBuilder('t').where('t.price > :p', { p: 50 }).getOne()).name, 't1')
    assert.equal((await source.query('show application_name'))[0].application_name, 'typeorm')
    await source.query('drop table conformance_typeorm')
  } finally {
    await source.destroy()
  }
}

const versions = ['pg', 'postgres', 'knex', 'sequelize', 'typeorm'].map((name) => `${name} ${JSON.parse(readFileSync(join(process.env.NODE_PATH, name, 'package.json'))).version}`)
console.log(`${versions.join(', ')}, Node.js ${process.versions.node}`)
run(
  [
    node_postgres_by_its_pool, node_postgres_in_transactions_with_named_statements, postgres_js_with_its_defaults, postgres_js_in_transactions, postgres_js_cursors_and_copy,
    postgres_js_listens_on_a_connection_of_its_own, knex_migrates_and_queries, sequelize_syncs_and_queries, typeorm_synchronizes_and_queries,
  ],
  options.match,
)
