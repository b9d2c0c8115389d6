#!/bin/sh
# superjson 2.2.7: an invalid Date arrives as null, although NaN arrives as NaN.
#
# superjson is used (as the transformer of tRPC, for one) to keep what JSON loses: Date, NaN, Infinity, undefined. One
# expects an invalid Date, such as `new Date(text)` gives for text that is no date, to arrive as one, as from
# structuredClone, or to be refused as toISOString() does. It is written as plain null without a note of
# its type: the receiver, whose types say Date, cannot tell it from "no end" or "not set", and `getTime()` fails
# there instead of where the mistake is. (ravionhq/superjson#355.)
#
# Seen (Node 20.20.2):
#   superjson {"until":null,"since":"Date 0","units":"NaN"}
#   structuredClone {"until":"Date NaN","since":"Date 0","units":"NaN"}
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '{"private":true,"type":"module"}' >package.json
npm install --loglevel=error --ignore-scripts --no-audit --no-fund --save-exact superjson@2.2.7 >&2
cat >date.mjs <<'JS'
import superjson from "superjson";

const access = { until: new Date("31.12.2026"), since: new Date(0), units: NaN };
const show = ({ until, since, units }) =>
  JSON.stringify({
    until: until && `Date ${until.getTime()}`,
    since: since && `Date ${since.getTime()}`,
    units: String(units),
  });
console.log("superjson", show(superjson.parse(superjson.stringify(access))));
console.log("structuredClone", show(structuredClone(access)));
JS
output=$(node date.mjs)
echo "$output"
[ "$output" = 'superjson {"until":null,"since":"Date 0","units":"NaN"}
structuredClone {"until":"Date NaN","since":"Date 0","units":"NaN"}' ]
