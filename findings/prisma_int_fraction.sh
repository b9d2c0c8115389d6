#!/bin/sh
# prisma 7.10.0 with @prisma/adapter-pg: a fraction written to an Int field is cut without an error, and a filter by
# a fraction finds the row of the cut number.
#
# The generated types say `number`, so nothing stops 0.5 at compile time. One expects the validation error that NaN
# and text get, or PostgreSQL's error for the same value sent by node-postgres, "invalid input syntax for type
# integer". Instead 2.5 is stored as 2 and 0.999 as 0: metered usage below one unit disappears. `count` with
# `where: { units: 1e-9 }` counts the rows that hold 0.
#
# Seen (Node 20.20.2; PGlite 0.5.14 behind pglite-socket 0.2.17 as the PostgreSQL server):
#   2.5 stored as 2
#   0.999 stored as 0
#   -1.7 stored as -1
#   rows with 1e-9: 1
#
# The generator does not run the schema engine, so the script names any program instead of downloading it.
# Exits with 0 if the output is as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '{"private":true,"type":"module"}' >package.json
npm install --loglevel=error --ignore-scripts --no-audit --no-fund --save-exact prisma@7.10.0 @prisma/client@7.10.0 \
  @prisma/adapter-pg@7.10.0 @electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17 tsx@4.23.15 >&2
cat >schema.prisma <<'PRISMA'
generator client {
  provider = "prisma-client"
  output   = "./generated"
}
datasource db {
  provider = "postgresql"
}
model Usage {
  id    Int @id
  units Int
}
PRISMA
cat >prisma.config.ts <<'TS'
import { defineConfig } from "prisma/config";
export default defineConfig({ schema: "schema.prisma" });
TS
PRISMA_SCHEMA_ENGINE_BINARY=$(command -v node) CHECKPOINT_DISABLE=1 npx prisma generate >&2
cat >fraction.mjs <<'JS'
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client.ts";

const database = await PGlite.create();
await database.exec('create table "Usage" (id int primary key, units int not null)');
const server = new PGLiteSocketServer({ db: database, port: 0, host: "127.0.0.1" });
await server.start();
const { port } = server.server.address();
const adapter = new PrismaPg({ host: "127.0.0.1", port, user: "postgres", database: "postgres", max: 1 });
const prisma = new PrismaClient({ adapter });
await prisma.usage.create({ data: { id: 0, units: 0 } });
for (const [id, units] of [2.5, 0.999, -1.7].entries()) {
  const row = await prisma.usage.create({ data: { id: id + 1, units } });
  console.log(`${units} stored as ${row.units}`);
}
await prisma.usage.delete({ where: { id: 2 } });
console.log(`rows with 1e-9: ${await prisma.usage.count({ where: { units: 1e-9 } })}`);
process.exit();
JS
output=$(node --import tsx fraction.mjs)
echo "$output"
[ "$output" = "2.5 stored as 2
0.999 stored as 0
-1.7 stored as -1
rows with 1e-9: 1" ]
