// Stock software of Node.js on MySQL and MariaDB, untuned: the pools of mysql2 and mariadb, Knex, Sequelize and TypeORM, as their documentation has them used.
//
// suites/mysql_program.py runs this where two backends are shared with neighbours who leave them dirty, and sees that nothing pins.

'use strict'

const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { target, run } = require('../node/report.js')

const options = target(process.argv.slice(2))
const { host, port, user, password, database } = options.login
const LOGIN = { host, port, user, password, database }
const numbers = (count) => Array.from({ length: count }, (_, i) => i)

async function mysql2_by_its_pool() {
  const pool = require('mysql2/promise').createPool({ ...LOGIN, connectionLimit: 6, timezone: '+00:00', charset: 'utf8mb4_unicode_ci' })
  try {
    await pool.query('drop table if exists conformance_pool')
    await pool.query('create table conformance_pool (v int primary key)')
    const answers = await Promise.all(numbers(60).map((i) => (i % 2 ? pool.query('select ? + 1 as v', [i]) : pool.execute('select ? + 1 as v', [i]))))
    answers.forEach(([rows], i) => assert.equal(Number(rows[0].v), i + 1))
    for (const i of numbers(12)) {
      const c = await pool.getConnection()
      await c.ping()
      await c.beginTransaction()
      await c.execute('insert into conformance_pool values (?)', [i])
      await (i % 2 ? c.rollback() : c.commit())
      c.release()
    }
    assert.equal((await pool.query('select count(*) as n, @@collation_connection as c from conformance_pool'))[0][0].n, 6)
    await pool.query('drop table conformance_pool')
  } finally {
    await pool.end()
  }
}

async function mariadb_by_its_pool() {
  const pool = require('mariadb').createPool({ ...LOGIN, connectionLimit: 5, allowPublicKeyRetrieval: true, bigIntAsNumber: true, insertIdAsNumber: true, minDelayValidation: 0, initSql: ["set time_zone = '+02:00'"], sessionVariables: { wait_timeout: 10000, group_concat_max_len: 2000 } })
  try {
    await pool.query('drop table if exists conformance_pool')
    await pool.query('create table conformance_pool (id int auto_increment primary key, v int)')
    const answers = await Promise.all(numbers(60).map((i) => (i % 2 ? pool.query('select ? + 1 as v, @@time_zone as z, @@group_concat_max_len as g', [i]) : pool.execute('select ? + 1 as v, @@time_zone as z, @@group_concat_max_len as g', [i]))))
    answers.forEach(([row], i) => assert.deepEqual([Number(row.v), row.z, row.g], [i + 1, '+02:00', 2000]))
    for (const i of numbers(12)) {
      const c = await pool.getConnection()
      await c.beginTransaction()
      await c.execute('insert into conformance_pool (v) values (?)', [i])
      await (i % 2 ? c.rollback() : c.commit())
      await c.release()
    }
    await pool.batch('insert into conformance_pool (v) values (?)', numbers(100).map((i) => [i]))
    assert.equal((await pool.query('select count(*) as n from conformance_pool'))[0].n, 106)
    await pool.query('drop table conformance_pool')
  } finally {
    await pool.end()
  }
}

async function mariadb_resets_what_it_takes_back() {
  const pool = require('mariadb').createPool({ ...LOGIN, connectionLimit: 2, allowPublicKeyRetrieval: true, resetAfterUse: true })
  try {
    if (!(await pool.query('select version() as v'))[0].v.includes('MariaDB')) return // It does so with MariaDB alone.
    for (const i of numbers(8)) {
      const c = await pool.getConnection()
      assert.equal((await c.query('select @mine as v'))[0].v, null)
      await c.query(`set @mine = ${i}, time_zone = '+05:00'`)
      await c.release()
    }
  } finally {
    await pool.end()
  }
}

async function knex_migrates_and_queries() {
  const knex = require('knex')({ client: 'mysql2', connection: LOGIN, pool: { min: 0, max: 4 } })
  const tables = ['conformance_knex', 'knex_migrations', 'knex_migrations_lock']
  try {
    for (const table of tables) await knex.schema.dropTableIfExists(table)
    const migrations = [{ name: 'one', up: (k) => k.schema.createTable('conformance_knex', (t) => (t.increments('id'), t.string('name').unique(), t.decimal('price', 10, 2), t.timestamps(true, true))), down: (k) => k.schema.dropTable('conformance_knex') }]
    const migrationSource = { getMigrations: async () => migrations, getMigrationName: (m) => m.name, getMigration: async (m) => m }
    await knex.migrate.latest({ migrationSource })
    await knex.batchInsert('conformance_knex', numbers(300).map((i) => ({ name: `t${i}`, price: i })), 100)
    await assert.rejects(knex.transaction(async (trx) => {
      await trx('conformance_knex').where('id', '<', 10).delete()
      await trx('conformance_knex').insert({ name: 't200', price: 1 })
    }))
    await knex.transaction(async (trx) => {
      await trx('conformance_knex').forUpdate().where({ name: 't1' }).first()
      await trx.transaction((inner) => inner('conformance_knex').update({ price: 7 }).where({ name: 't1' }))
    }, { isolationLevel: 'repeatable read' })
    assert.equal((await knex('conformance_knex').where({ name: 't1' }).first()).price, '7.00')
    assert.deepEqual({ ...(await knex('conformance_knex').count('* as n').first()) }, { n: 300 })
    assert.ok(await knex.schema.hasTable('conformance_knex'))
    await knex.migrate.rollback({ migrationSource })
    for (const table of tables) await knex.schema.dropTableIfExists(table)
  } finally {
    await knex.destroy()
  }
}

async function sequelize_syncs_and_queries() {
  const { Sequelize, DataTypes, Transaction } = require('sequelize')
  const sequelize = new Sequelize(database, user, password, { host, port, dialect: 'mysql', logging: false, pool: { max: 4 }, timezone: '+02:00' })
  try {
    const Thing = sequelize.define('thing', { name: { type: DataTypes.STRING, unique: true }, price: DataTypes.DECIMAL(10, 2), data: DataTypes.JSON, kind: DataTypes.ENUM('a', 'b') }, { tableName: 'conformance_sequelize' })
    const Part = sequelize.define('part', { label: DataTypes.TEXT }, { tableName: 'conformance_sequelize_part' })
    Thing.hasMany(Part)
    await sequelize.sync({ force: true })
    await Thing.bulkCreate(numbers(50).map((i) => ({ name: `t${i}`, price: i, data: { i }, kind: i % 2 ? 'a' : 'b' })))
    for (const level of Object.values(Transaction.ISOLATION_LEVELS)) {
      await sequelize.transaction({ isolationLevel: level }, async (transaction) => {
        const thing = await Thing.findOne({ where: { name: 't3' }, lock: true, transaction })
        await Part.create({ label: 'part', thingId: thing.id }, { transaction })
      })
    }
    await assert.rejects(sequelize.transaction(async (transaction) => {
      await Thing.destroy({ where: {}, transaction })
      throw new Error('undone')
    }))
    const found = await Thing.findAll({ where: { name: 't3' }, include: Part })
    assert.deepEqual(found.map((t) => [t.name, t.price, t.parts.length]), [['t3', '3.00', 4]])
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
  const Thing = new EntitySchema({ name: 'Thing', tableName: 'conformance_typeorm', columns: { id: { type: 'int', primary: true, generated: true }, name: { type: String, unique: true }, price: { type: 'decimal', precision: 10, scale: 2 }, at: { type: 'timestamp', createDate: true } } })
  const source = new DataSource({ type: 'mysql', host, port, username: user, password, database, entities: [Thing], synchronize: false, poolSize: 4, connectorPackage: 'mysql2', timezone: 'Z' })
  await source.initialize()
  try {
    await source.query('drop table if exists conformance_typeorm')
    await source.synchronize()
    await source.synchronize()
    const things = source.getRepository(Thing)
    await things.save(numbers(30).map((i) => ({ name: `t${i}`, price: i })))
    await source.transaction('SERIALIZABLE', async (manager) => {
      await manager.update(Thing, { name: 't1' }, { price: 100 })
    })
    await assert.rejects(source.transaction(async (manager) => {
      await manager.delete(Thing, {})
      await manager.insert(Thing, { name: 'one', price: 'much' })
    }))
    assert.equal(await things.count(), 30)
    assert.equal((await things.createQueryBuilder('t').where('t.price > :p', { p: 50 }).getOne()).name, 't1')
    await source.query('drop table conformance_typeorm')
  } finally {
    await source.destroy()
  }
}

const versions = ['mysql2', 'mariadb', 'knex', 'sequelize', 'typeorm'].map((name) => `${name} ${JSON.parse(readFileSync(join(process.env.NODE_PATH, name, 'package.json'))).version}`)
console.log(`${versions.join(', ')}, Node.js ${process.versions.node}`)
run([mysql2_by_its_pool, mariadb_by_its_pool, mariadb_resets_what_it_takes_back, knex_migrates_and_queries, sequelize_syncs_and_queries, typeorm_synchronizes_and_queries], options.match)
