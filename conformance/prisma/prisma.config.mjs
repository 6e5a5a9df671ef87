// Where `prisma generate` finds the schema; an address it does not need.

export default { schema: './schema.prisma' }
