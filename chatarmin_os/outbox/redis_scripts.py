"""The scripts that Redis runs for an outbox, in Lua: each is one transaction.

Redis does nothing else while a script runs, so each of them ends after so many events, and is run again. A script that
fails does not undo its changes, so everything that can fail is tried before its first change, and rights in `CHECK`.

The stream has each event that waits, as it was put, and its consumer group has each of these that a sender has had.
Next to it:

- `keys`: the id of the entry by idempotency key. One that leads to no entry is of an event that somebody removed.
- `created`: ids by the instant of their creation.
- `leases`, `waits`: ids by the end of their lease or wait; `begun`: both by their beginning. A new entry is in neither.
- `owners`: who has an event. `states`: what happened to it, as JSON.
- `dead`: dead events as JSON by idempotency key; `order`: their keys, the oldest first; `tally`: how many there are of
  each reason and quantity.
- `cursor`: where the search for lost entries goes on.

What a sender has is decided by `leases` and `owners`, by one clock. The consumers of the group show the same, for
people who look: `waiting` has what nobody has now. An entry that the group gave to a consumer of somebody else is in
none of these, and is taken from it after the time of a lease.
"""

from __future__ import annotations

PARTS = ("keys", "created", "leases", "waits", "begun", "owners", "states", "dead", "order", "tally", "cursor")
"""The names after that of the stream, in the order of the scripts."""

_COMMON = """
local stream, keys, created, leases, waits, begun, owners, states, dead, order, tally, cursor = unpack(KEYS)
local GROUP, WAITING = 'senders', 'waiting'
local MAX = 200 -- events without entry, or the other way round, that one script removes

-- Return microseconds as an integer: Redis would parse other scores at each comparison.
local function instant(given)
  if given ~= '' then return string.format('%.0f', given * 1e6) end
  local time = redis.call('TIME')
  return string.format('%d%06d', time[1], time[2])
end

-- Return the event of an entry with these fields; nil if it is none of ours.
local function as_event(fields)
  local event = {}
  for i = 1, #fields, 2 do event[fields[i]] = fields[i + 1] end
  if event.key and event.input and event.company and event.organisation and event.created then return event end
end

-- Return the event of an entry; nil if it is gone, or is none of ours.
local function read(id)
  local found = redis.call('XRANGE', stream, id, id)
  return found[1] and as_event(found[1][2])
end

local function is_known(id)
  return redis.call('ZSCORE', leases, id) or redis.call('ZSCORE', waits, id)
end

local function add(key, input, company, organisation, at, state)
  local id = redis.call('XADD', stream, '*', 'key', key, 'input', input, 'company', company,
    'organisation', organisation, 'created', at)
  redis.call('HSET', keys, key, id)
  redis.call('ZADD', created, at, id)
  if state ~= '' then redis.call('HSET', states, id, state) end
  return id
end

-- Return the company, attempts, failures, the first attempt and the first look-up of an event.
local function past(id, event)
  local text = redis.call('HGET', states, id)
  if text then return unpack(cjson.decode(text)) end
  return event.company, '0', '0', '', ''
end

local function note_try(id, company, attempts, failures, first, looked_up, at)
  if first == '' then first = at end
  local state = {company, string.format('%d', attempts + 1), failures, first, looked_up}
  redis.call('HSET', states, id, cjson.encode(state))
end
"""

CHECK = (
    _COMMON
    + """
-- ARGV: "put" or "send". Try the commands of that script, none of which changes anything here. Return the first key
-- that somebody else uses, or the first one on which this user may not run a command, and the command.
local function key_with(answer, key, command)
  local problem = type(answer) == 'table' and answer.err or ''
  if string.find(problem, 'WRONGTYPE') then return {key} end
  if string.find(problem, 'permission') or string.find(problem, 'user executing') then return {key, command} end
end

local found = redis.pcall('XRANGE', stream, '-', '+', 'COUNT', 1)
local problem = key_with(found, stream, 'XRANGE')
if problem then return problem end
if found[1] and not as_event(found[1][2]) and redis.call('EXISTS', keys, cursor) == 0 then return {stream} end
-- The first one runs also if the memory is full, and all others after it.
local commands = {
  {keys, 'HDEL', keys, ''}, {keys, 'HSET', keys, '', ''}, {keys, 'HDEL', keys, ''},
  {created, 'ZADD', created, 'XX', 0, ''}, {states, 'HDEL', states, ''}, {stream, 'XADD', stream, '0-0', '', ''},
}
if ARGV[1] == 'send' then
  for _, key in ipairs({owners, dead, tally}) do commands[#commands + 1] = {key, 'HDEL', key, ''} end
  for _, key in ipairs({leases, waits, begun, order}) do
    commands[#commands + 1] = {key, 'ZADD', key, 'XX', 0, ''}
    commands[#commands + 1] = {key, 'ZREM', key, ''}
  end
  for _, command in ipairs({
    {created, 'ZRANGEBYSCORE', created, 0, 0, 'LIMIT', 0, 1}, {created, 'ZREM', created, ''},
    {tally, 'HINCRBY', tally, '', 0}, {tally, 'HDEL', tally, ''},
    {cursor, 'GET', cursor}, {cursor, 'SET', cursor, '0-0', 'XX'},
    {stream, 'XDEL', stream, '0-0'}, {stream, 'XACK', stream, GROUP, '0-0'}, {stream, 'XPENDING', stream, GROUP},
    {stream, 'XGROUP', 'DELCONSUMER', stream, GROUP, ''}, {stream, 'XCLAIM', stream, GROUP, WAITING, 0, '0-0'},
    {stream, 'XAUTOCLAIM', stream, GROUP, WAITING, 0, '0-0', 'COUNT', 1, 'JUSTID'},
    {stream, 'XREADGROUP', 'GROUP', GROUP, WAITING, 'COUNT', 1, 'STREAMS', stream, '0'},
  }) do
    commands[#commands + 1] = command
  end
end
for _, command in ipairs(commands) do
  problem = key_with(redis.pcall(unpack(command, 2)), command[1], command[2])
  if problem then return problem end
end
"""
)

PUT = (
    _COMMON
    + """
-- ARGV: of each event the key, input, company, organisation, instant and state. Return those whose key waits; then
-- nothing is stored. The first write is the one that Redis refuses if its memory is full: the others follow in any
-- case.
local same = {}
for i = 1, #ARGV, 6 do
  local id = redis.call('HGET', keys, ARGV[i])
  local event = id and read(id)
  if not event then
    local record = redis.call('HGET', dead, ARGV[i])
    event = record and cjson.decode(record)
  end
  if event then same[#same + 1] = {ARGV[i], event.input, event.company, event.organisation, event.created} end
end
if #same == 0 then
  for i = 1, #ARGV, 6 do add(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]) end
end
return same
"""
)

SET_TRIED = (
    _COMMON
    + """
-- ARGV: the key of an event that waits, and the instant of an attempt. A sender that has it loses it, and others wait
-- for the end of the lease.
local id = redis.call('HGET', keys, ARGV[1])
local event = id and read(id)
if event then
  local company, attempts, failures, first, looked_up = past(id, event)
  note_try(id, company, attempts, failures, first, looked_up, ARGV[2])
  local ends = redis.call('ZSCORE', leases, id)
  if ends then
    redis.call('ZADD', waits, ends, id)
    redis.call('ZREM', leases, id)
  end
end
"""
)

SEND = (
    _COMMON
    + """
-- ARGV: the instant, that of attempts, the owner, the seconds of a lease, how many events to lease, and of each change
-- eight texts. Return the places of the changes that were made, the events that were leased, entries without event, and
-- whether there may be more of these.
local now, tried, owner, lease, count = instant(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local at = tonumber(now)
local made, taken, gone, earlier, left = {}, {}, {}, {[owner] = true}, MAX
local ended, has_ended = {}, {} -- removed together, which is faster; no more than a sender leases

-- A full memory refuses the first write of a script if it needs memory: this one does not, and draining frees some.
redis.call('HDEL', keys, '')
if redis.pcall('XPENDING', stream, GROUP).err then redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM') end

local function is_ours(id)
  if has_ended[id] then return false end
  local ends, begins = redis.call('ZSCORE', leases, id), redis.call('ZSCORE', begun, id)
  return redis.call('HGET', owners, id) == owner and ends and tonumber(ends) > at and tonumber(begins) <= at
end

local function note(id, book, seconds)
  redis.call('ZADD', book, string.format('%.0f', at + seconds * 1e6), id)
  redis.call('ZADD', begun, now, id)
end

local function hold(id, consumer, book, other, seconds)
  redis.call('ZREM', other, id)
  note(id, book, seconds)
  redis.call('XCLAIM', stream, GROUP, consumer, 0, id, 'JUSTID')
end

local function forget(...)
  for _, book in ipairs({leases, waits, begun, created}) do redis.call('ZREM', book, ...) end
  redis.call('HDEL', owners, ...)
  redis.call('HDEL', states, ...)
  redis.call('XACK', stream, GROUP, ...)
  redis.call('XDEL', stream, ...)
end

local function padded(id)
  local time, number = string.match(id, '(%d+)-(%d+)')
  return string.rep('0', 20 - #time) .. time .. '-' .. string.rep('0', 20 - #number) .. number
end

local function bury(id, event, attempts, reason, message, quantity)
  local state = redis.call('HGET', states, id)
  event.found = state and cjson.decode(state)[1] or event.company
  event.attempts, event.reason, event.error = attempts, reason, message
  event.member, event.tally = padded(id) .. ' ' .. event.key, quantity
  redis.call('HSET', dead, event.key, cjson.encode(event))
  redis.call('ZADD', order, 0, event.member)
  redis.call('HINCRBY', tally, quantity, 1)
end

for i = 6, #ARGV, 8 do
  local kind, id, state = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if is_ours(id) then
    local is_made = true
    if state ~= '' then redis.call('HSET', states, id, state) end
    if kind == 'lease' then
      hold(id, owner, leases, waits, lease)
    elseif kind == 'delay' then
      hold(id, WAITING, waits, leases, tonumber(ARGV[i + 4]))
    else
      local event = kind == 'bury' and read(id)
      if event then
        bury(id, event, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7])
      elseif kind == 'bury' then
        gone[#gone + 1], is_made = id, false
      end
      if redis.call('HGET', keys, ARGV[i + 3]) == id then redis.call('HDEL', keys, ARGV[i + 3]) end
      ended[#ended + 1], has_ended[id] = id, true
    end
    if is_made then made[#made + 1] = (i - 6) / 8 end
  end
end

if #ended > 0 then forget(unpack(ended)) end

-- An event with a company counts as tried from now on; what is returned is its state before. The fields are those of a
-- new entry, which the group has just given to the owner.
local function take(id, fields)
  local event = fields and as_event(fields) or read(id)
  if not event then
    gone[#gone + 1], left = id, left - 1
    return forget(id)
  end
  local text = redis.call('HGET', states, id)
  local company, attempts, failures, first, looked_up = past(id, event)
  if company ~= '' then note_try(id, company, attempts, failures, first, looked_up, tried) end
  if fields then
    note(id, leases, lease)
  else
    local before = redis.call('HGET', owners, id)
    if before then earlier[before] = true end
    hold(id, owner, leases, waits, lease)
  end
  redis.call('HSET', owners, id, owner)
  taken[#taken + 1] = {id, event.key, event.input, event.company, event.organisation, event.created, text or ''}
end

-- Each event that is taken leaves its range, so that this ends.
local function take_all(book, min, max)
  while #taken < count and left > 0 do
    local found = redis.call('ZRANGEBYSCORE', book, min, max, 'LIMIT', 0, count - #taken)
    if #found == 0 then return end
    for _, id in ipairs(found) do take(id) end
  end
end

take_all(waits, '-inf', now)
take_all(leases, '-inf', now)
take_all(begun, '(' .. now, '+inf')
while #taken < count and left > 0 do
  local found = redis.call('XREADGROUP', 'GROUP', GROUP, owner, 'COUNT', count - #taken, 'STREAMS', stream, '>')
  if not found then break end
  for _, entry in ipairs(found[1][2]) do
    if is_known(entry[1]) then -- the group was destroyed, and created again
      redis.call('XCLAIM', stream, GROUP, WAITING, 0, entry[1], 'JUSTID')
      left = left - 1
    else
      take(entry[1], entry[2])
    end
  end
end
if #taken < count and left > 0 then
  local start, idle = redis.call('GET', cursor), string.format('%d', lease * 1000)
  local found = redis.call('XAUTOCLAIM', stream, GROUP, WAITING, idle, start or '0-0',
    'COUNT', math.min(100, count - #taken), 'JUSTID')
  if found[1] ~= start then redis.call('SET', cursor, found[1]) end
  for _, id in ipairs(found[2]) do
    if not is_known(id) then take(id) end
  end
  for _, id in ipairs(found[3] or {}) do -- Redis 7 takes them out of the group itself
    gone[#gone + 1] = id
    forget(id)
  end
end

for consumer in pairs(earlier) do
  if #redis.call('XPENDING', stream, GROUP, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
  end
end
return {made, taken, gone, left <= 0 and 1 or 0}
"""
)

STATS = (
    _COMMON
    + """
-- ARGV: the instant, and whether the tally is of interest. Return it, the number of entries, that of leases, the oldest
-- creation, the tally, the number of events whose entry somebody removed before a sender had it, and whether there may
-- be more of these.
local now, oldest, lost, left = instant(ARGV[1]), '', 0, MAX
while left > 0 do
  local first = redis.call('ZRANGE', created, 0, 0, 'WITHSCORES')
  if not first[1] then break end
  if read(first[1]) then
    oldest = first[2]
    break
  end
  redis.call('ZREM', created, first[1])
  left = left - 1
  if not is_known(first[1]) then lost = lost + 1 end
end
local leased = redis.call('ZCOUNT', leases, '(' .. now, '+inf')
if redis.call('ZCOUNT', begun, '(' .. now, '+inf') > 0 then -- the clock was set back
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. now, '+inf')) do
    if tonumber(redis.call('ZSCORE', begun, id)) > tonumber(now) then leased = leased - 1 end
  end
end
local counts = ARGV[2] == '' and {} or redis.call('HGETALL', tally)
return {now, redis.call('XLEN', stream), leased, oldest, counts, lost, left <= 0 and 1 or 0}
"""
)

OF_DEAD = (
    _COMMON
    + """
-- ARGV: "revive" or "discard", and keys. Return how many were dead.
local count = 0
for i = 2, #ARGV do
  local key = ARGV[i]
  local record = redis.call('HGET', dead, key)
  if record then
    local event = cjson.decode(record)
    if ARGV[1] == 'revive' then
      local state = event.found ~= event.company and cjson.encode({event.found, '0', '0', '', ''}) or ''
      add(key, event.input, event.company, event.organisation, event.created, state)
    end
    redis.call('HDEL', dead, key)
    redis.call('ZREM', order, event.member)
    if redis.call('HINCRBY', tally, event.tally, -1) == 0 then redis.call('HDEL', tally, event.tally) end
    count = count + 1
  end
end
return count
"""
)
