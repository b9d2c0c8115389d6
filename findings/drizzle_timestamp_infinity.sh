#!/bin/sh
# drizzle-orm 0.45.4 (with PGlite 0.5.17, PostgreSQL in WebAssembly): 'infinity' in a column `timestamp("until")`
# is read as 1 January 2000.
#
# PostgreSQL writes "never" as the timestamp 'infinity'. One expects Infinity (as pg gives), an invalid Date or an
# error. A column without time zone gives a valid Date instead, 2000-01-01T00:00:00.000Z, for 'infinity' and for
# '-infinity': Drizzle appends "+0000" to the text and V8 takes the zeros for a year. So an access that never ends
# has ended long ago. With `withTimezone: true` the same value is an invalid Date, which JSON writes as null.
#
# Seen (Node 20.20.2):
#   {"local":"2000-01-01T00:00:00.000Z","zoned":null}
#   {"local":"2000-01-01T00:00:00.000Z","zoned":null}
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '{"private":true,"type":"module"}' >package.json
npm install --loglevel=error --no-audit --no-fund --save-exact drizzle-orm@0.45.4 @electric-sql/pglite@0.5.17 >&2
cat >infinity.mjs <<'JS'
import { PGlite } from "@electric-sql/pglite";
import { drizzle } from "drizzle-orm/pglite";
import { pgTable, timestamp } from "drizzle-orm/pg-core";

const database = new PGlite();
await database.exec(`
  create table accesses (local timestamp, zoned timestamptz);
  insert into accesses values ('infinity', 'infinity'), ('-infinity', '-infinity');
`);
const accesses = pgTable("accesses", { local: timestamp("local"), zoned: timestamp("zoned", { withTimezone: true }) });
for (const row of await drizzle(database).select().from(accesses)) console.log(JSON.stringify(row));
JS
output=$(node infinity.mjs)
echo "$output"
line='{"local":"2000-01-01T00:00:00.000Z","zoned":null}'
[ "$output" = "$line
$line" ]
