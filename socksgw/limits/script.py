"""
What Redis does at each exchange with a member of a cluster, in one step.

Redis runs it as a script (Lua 5.1), from one C{EVALSHA}. Its clock alone counts: a member
tells no time. What is kept, below C{{socksgw:NAME}}:

- C{:members}: of each its epoch, how many exchanges it has made, until when it counts
  (milliseconds), and a number of its process.
- C{:h:MEMBER:EPOCH}: by the hash of a key how many it may count, how many it has, and
  when it has said so. The others remove it when the member counts no longer. It has no
  time to live, since a Redis whose memory is full may drop first what has one.
- C{:w:HASH:NUMBER}: the octets of a window that each member has taken.
- C{:short}: the hashes of which somebody needs more.
- C{:t}: logins that have failed, and how many milliseconds they were old when they were
  told. C{:f:PROCESS}: the number of the last one of a process. C{:key}: what their names
  are hashed with.
- C{:epoch}, C{:born}: the last epoch, and when all this began.
"""

from typing import Final

__all__ = ["SCRIPT"]

SCRIPT: Final = r"""
local base, q = KEYS[1], cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members, known = base .. ':members', {}
local function held(name, epoch) return base .. ':h:' .. name .. ':' .. epoch end
local function whole(number) return string.format('%.0f', number) end

local all = redis.call('HGETALL', members)
for i = 1, #all, 2 do
  local e, n, u, x = string.match(all[i + 1], '^(%d+):(%d+):(%d+):(%w+)$')
  known[all[i]] = {epoch = e, n = tonumber(n), til = tonumber(u), x = x}
end
local mine = known[q.m]
local function lives(r) return r ~= nil and r.til > now end
local taken = lives(mine) and mine.x ~= q.x

if q.leave then
  if mine and mine.x == q.x then
    redis.call('DEL', held(q.m, mine.epoch))
    redis.call('HSET', members, q.m,
      mine.epoch .. ':' .. whole(mine.n) .. ':0:' .. mine.x)
  end
  return '{}'
end
local joins = q.e == ''
-- Redis knows less of this process than it has answered: it has lost what came last, or
-- all. What it has of others is as old, and so each of them has to be heard first.
local born = tonumber(redis.call('GET', base .. ':born') or '0')
local e, n = string.match(q.was or '', '^(%d+):(%d+)$')
if joins and e then
  e, n = tonumber(e), tonumber(n)
  local lost
  if mine then
    local epoch = tonumber(mine.epoch)
    lost = epoch < e or epoch == e and mine.x == q.x and mine.n < n
  else
    -- Or somebody else has found that out just now.
    lost = now >= born + q.ttl * 1.2
  end
  if lost then
    for name, r in pairs(known) do redis.call('DEL', held(name, r.epoch)) end
    redis.call('DEL', members)
    redis.call('SET', base .. ':born', whole(now))
    born, known, mine, taken = now, {}, nil, false
  end
end
if joins then
  if taken and not q.steal then return '{"fenced":"taken"}' end
  if mine then redis.call('DEL', held(q.m, mine.epoch)) end
  mine = {epoch = whole(redis.call('INCR', base .. ':epoch')), n = 0, x = q.x}
  if born == 0 then
    redis.call('SET', base .. ':born', whole(now))
    born = now
  end
  redis.call('SET', base .. ':key', q.key, 'NX')
elseif taken then
  return '{"fenced":"taken"}'
elseif not lives(mine) or mine.epoch ~= q.e or mine.n ~= q.n then
  return '{"fenced":"lost"}'
else
  mine.n = mine.n + 1
end
mine.til = now + q.ttl
known[q.m] = mine
redis.call('HSET', members, q.m,
  mine.epoch .. ':' .. whole(mine.n) .. ':' .. whole(mine.til) .. ':' .. mine.x)

local own, others, absent, unheard = held(q.m, mine.epoch), {}, {}, false
for name, r in pairs(known) do
  if name ~= q.m then
    local at = held(name, r.epoch)
    if lives(r) then others[#others + 1] = at else redis.call('DEL', at) end
  end
end
for _, name in ipairs(q.all) do
  if not lives(known[name]) then absent[#absent + 1] = name end
  if not known[name] then unheard = true end
end
-- What others have is not known yet, after Redis has lost all.
local early = unheard and now < born + q.ttl * 1.2

local counts = {}
for i, each in ipairs(q.k) do
  local hash, most, want, need, cap, used, share = unpack(each)
  local theirs, soon = #absent * share, early
  for _, at in ipairs(others) do
    local text = redis.call('HGET', at, hash)
    if text then
      local c, u, t = string.match(text, '^(%d+):(%d+):(%d+)$')
      theirs = theirs + tonumber(c)
      if tonumber(c) > tonumber(u) or now - tonumber(t) > q.fresh then soon = true end
    end
  end
  local more = 0
  if not early then more = math.max(0, math.min(want, most - theirs - cap)) end
  if cap + more > 0 then
    redis.call('HSET', own, hash,
      whole(cap + more) .. ':' .. whole(used) .. ':' .. whole(now))
  else
    redis.call('HDEL', own, hash)
  end
  if more < need and soon then
    redis.call('HSET', base .. ':short', hash, whole(now) .. ':' .. q.m)
  end
  counts[i] = {more, theirs, soon and 1 or 0}
end

local windows = {}
for i, each in ipairs(q.w) do
  local hash, seconds, most, want, need, took, number, exact, share = unpack(each)
  local present = math.floor(now / 1000 / seconds)
  local at = base .. ':w:' .. hash .. ':' .. whole(present)
  local all, had, total = redis.call('HGETALL', at), {}, 0
  for j = 1, #all, 2 do had[all[j]] = tonumber(all[j + 1]) end
  local now_ = had[q.m] or 0
  if number == present then now_ = exact and took or math.max(now_, took) end
  had[q.m] = now_
  for _, name in ipairs(absent) do had[name] = math.max(had[name] or 0, share) end
  for _, octets in pairs(had) do total = total + octets end
  local left, more = most - total, 0
  if not early then
    more = math.min(want, math.max(need, math.floor(left / (2 * #q.all))))
    more = math.max(0, math.min(more, left))
  end
  if now_ + more > 0 or had[q.m] > 0 or number == present then
    redis.call('HSET', at, q.m, whole(now_ + more))
    redis.call('PEXPIRE', at, whole(seconds * 2000 + 60000))
  end
  if more < need then
    redis.call('HSET', base .. ':short', hash, whole(now) .. ':' .. q.m)
  end
  windows[i] = {whole(present), whole(now_), whole(now_ + more), whole(total + more),
    (present + 1) * seconds * 1000 - now, early and 1 or 0}
end

local wanted, shorts = {}, redis.call('HGETALL', base .. ':short')
for i = 1, #shorts, 2 do
  local t, who = string.match(shorts[i + 1], '^(%d+):(.*)$')
  if now - tonumber(t) > 1000 then
    redis.call('HDEL', base .. ':short', shorts[i])
  elseif who ~= q.m then
    wanted[#wanted + 1] = shorts[i]
  end
end

local failures, stream, last = {}, base .. ':t', q.t
if #q.f > 0 then
  local at = base .. ':f:' .. q.x
  local heard = tonumber(redis.call('GET', at) or '0')
  for _, each in ipairs(q.f) do
    local number, ago, source, name = unpack(each)
    -- What was told, and not answered, is told again.
    if number > heard then
      heard = number
      redis.call('XADD', stream, 'MAXLEN', '~', 20000, '*',
        'x', q.x, 's', source, 'n', name, 'a', whole(ago))
    end
  end
  redis.call('SET', at, whole(heard), 'PX', 86400000)
  redis.call('PEXPIRE', stream, 86400000)
end
for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. q.t, '+', 'COUNT', 1000)) do
  last = entry[1]
  if entry[2][2] ~= q.x then
    local t = tonumber(string.match(last, '^(%d+)-'))
    local ago = now - t + tonumber(entry[2][8] or '0')
    failures[#failures + 1] = {ago, entry[2][4], entry[2][6]}
  end
end

-- What Redis does when its memory is full, where the user may ask.
local drops
if joins then
  local said = redis.pcall('INFO', 'memory')
  if type(said) == 'string' and not string.find(said, '\nmaxmemory:0\r') then
    drops = string.match(said, '\nmaxmemory_policy:([%w-]+)')
    if drops == 'noeviction' then drops = nil end
  end
end

return cjson.encode({
  epoch = mine.epoch, now = whole(now), k = counts, w = windows, s = wanted,
  f = failures, t = last, absent = absent,
  key = joins and redis.call('GET', base .. ':key') or nil, drops = drops,
})
"""
