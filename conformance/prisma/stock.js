// Prisma's client on its driver adapter for PostgreSQL, untuned. suites/stock_program.py runs this where two backends are shared, and sees that
// nothing pins. Its older engine, a program of its own, comes from no package registry and is not run.

'use strict'

const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { PrismaClient, Prisma } = require('@prisma/client')
const { PrismaPg } = require('@prisma/adapter-pg')
const { target, run } = require('../node/report.js')

const options = target(process.argv.slice(2))
const numbers = (count) => Array.from({ length: count }, (_, i) => i)
const TABLES = [
  'drop table if exists conformance_prisma_book, conformance_prisma_author',
  'create table conformance_prisma_author (id serial primary key, name text not null unique)',
  `create table conformance_prisma_book (id serial primary key, title text not null, price numeric(10,2) not null, data jsonb not null default '{}', cover bytea,
    made timestamptz(3) not null default now(), "authorId" int not null references conformance_prisma_author on delete cascade)`,
]

/** A client with its pool, ended afterwards; `use` finds an author with five books. */
async function withPrisma(use, more = {}) {
  const { host, port, user, password, database } = options.login
  const prisma = new PrismaClient({ adapter: new PrismaPg({ host, port, user, password, database, max: 4, ...more }) })
  try {
    for (const sql of TABLES) await prisma.$executeRawUnsafe(sql)
    const books = numbers(5).map((i) => ({ title: `book ${i}`, price: '12.30', data: { i }, cover: Buffer.from([0, 255]) }))
    await prisma.author.create({ data: { name: 'Ünal', books: { create: books } } })
    await use(prisma)
    await prisma.$executeRawUnsafe(TABLES[0])
  } finally {
    await prisma.$disconnect()
  }
}

async function prisma_reads_and_writes() {
  await withPrisma(async (prisma) => {
    const author = await prisma.author.findUnique({ where: { name: 'Ünal' }, include: { books: { orderBy: { id: 'asc' } } } })
    assert.deepEqual(author.books.map((b) => [b.title, b.price.toFixed(2), b.data, [...b.cover]]), numbers(5).map((i) => [`book ${i}`, '12.30', { i }, [0, 255]]))
    assert.ok(Math.abs(author.books[0].made - Date.now()) < 300000)
    await prisma.book.createMany({ data: numbers(200).map((i) => ({ title: `more ${i}`, price: i, authorId: author.id })) })
    assert.equal(await prisma.book.count({ where: { title: { startsWith: 'more' }, price: { gte: 100 } } }), 100)
    assert.equal((await prisma.book.aggregate({ _sum: { price: true }, where: { title: { startsWith: 'book' } } }))._sum.price.toFixed(2), '61.50')
    await prisma.author.upsert({ where: { name: 'Ünal' }, update: { books: { deleteMany: { title: 'book 0' } } }, create: { name: 'nobody' } })
    assert.equal(await prisma.book.count(), 204)
    await assert.rejects(prisma.author.create({ data: { name: 'Ünal' } }), { code: 'P2002' })
  })
}

async function prisma_in_transactions() {
  await withPrisma(async (prisma) => {
    const { id } = await prisma.author.findFirstOrThrow()
    await prisma.$transaction([prisma.book.updateMany({ data: { price: 1 } }), prisma.author.update({ where: { id }, data: { name: 'Ortiz' } })])
    await assert.rejects(
      prisma.$transaction(async (tx) => {
        await tx.book.deleteMany()
        throw new Error('undone')
      }),
    )
    const isolationLevel = Prisma.TransactionIsolationLevel.Serializable
    const shown = await prisma.$transaction(async (tx) => {
      await tx.book.create({ data: { title: 'inside', price: 2, authorId: id } })
      return tx.$queryRaw`select current_setting('transaction_isolation') as isolation, count(*)::int as n from conformance_prisma_book`
    }, { isolationLevel })
    assert.deepEqual(shown, [{ isolation: 'serializable', n: 6 }])
    assert.deepEqual(await prisma.$queryRaw`select ${'x'}::text as v, current_setting('transaction_isolation') as isolation`, [{ v: 'x', isolation: 'read committed' }])
  })
}

async function prisma_with_many_at_once() {
  await withPrisma(async (prisma) => {
    const found = await Promise.all(numbers(100).map((i) => prisma.book.findMany({ where: { title: `book ${i % 5}` }, select: { title: true, author: true } })))
    assert.ok(found.every((books, i) => books.length === 1 && books[0].title === `book ${i % 5}` && books[0].author.name === 'Ünal'))
    const written = await Promise.all(numbers(20).map((i) => prisma.$transaction(async (tx) => (await tx.author.create({ data: { name: `author ${i}` } })).name)))
    assert.deepEqual(written, numbers(20).map((i) => `author ${i}`))
  }, { application_name: 'prisma', options: '-c search_path=public' })
}

const version = JSON.parse(readFileSync(join(process.env.NODE_PATH, '@prisma/client/package.json'))).version
console.log(`Prisma ${version}, Node.js ${process.versions.node}`)
run([prisma_reads_and_writes, prisma_in_transactions, prisma_with_many_at_once], options.match, 60)
