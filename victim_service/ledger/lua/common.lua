-- Begins every script of the ledger. A script is one atomic step; Redis undoes nothing when a script
-- fails, so each decides everything before its first write, which is an HSET: Redis refuses that
-- one, and so the whole script, when it is out of memory, read-only or cannot write its log.
--
-- KEYS[1] is the key "born", ARGV[1] the id that it held when the caller opened the ledger: a Redis
-- that lost its data must not sell every budget again.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('LOST this Redis holds no longer the data of the ledger that was opened')
end

local prefix = string.sub(KEYS[1], 1, -5)

-- Seconds since 1970, by the clock of Redis: no caller's clock is ever asked.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

-- Lua prints 14 digits of a number, which is not enough for the time; 17 give every double back.
local function text(number)
  return string.format('%.17g', number)
end

-- Where the record of a query is; also its name among the running ones. Accounts hold no newline.
local function query_id(account, idempotency)
  return account .. '\n' .. idempotency
end

local function record_key(id)
  return prefix .. 'query:' .. id
end

-- Is there when nobody waits any more for what the token was made for.
local function void_key(token)
  return prefix .. 'void:' .. token
end

-- Append one line to the entries, and count it for its key under its plan.
local function enter(kind, account, key_id, plan, version, idempotency, clips, delta)
  local now = text(clock())
  local payer = '\n' .. account .. '\n' .. key_id .. '\n' .. plan
  redis.call('HSET', prefix .. 'usage', 'last_at' .. payer, now)
  redis.call('HINCRBY', prefix .. 'usage', 'spent' .. payer, delta)
  if kind == 'commit' then
    redis.call('HINCRBY', prefix .. 'usage', 'queries' .. payer, 1)
  elseif kind == 'audit' then
    redis.call('HINCRBY', prefix .. 'usage', 'audited' .. payer, clips)
  end
  redis.call('XADD', prefix .. 'entries', '*', 'at', now, 'kind', kind, 'account', account,
    'key_id', key_id, 'plan', plan, 'plan_version', version, 'idempotency', idempotency,
    'clips', clips, 'delta', delta)
end

-- End a running query in a state, at a final cost ('' for what it holds, which is also the most):
-- what it holds beyond goes back to the budgets that were charged, and is entered under who paid.
local function settle(id, state, kind, final)
  local held = redis.call('HMGET', record_key(id), 'clips', 'key_id', 'plan', 'version', 'budgets',
    'cost')
  local clips, key_id, plan, version = tonumber(held[1]), held[2], held[3], held[4]
  local cost = tonumber(held[6] or clips) -- an older ledger kept no cost: one unit a clip
  local kept = math.min(cost, tonumber(final) or cost)
  redis.call('HSET', record_key(id), 'state', state, 'cost', kept)
  redis.call('ZREM', prefix .. 'running', id)
  if kept < cost then
    for place = 1, tonumber(held[5]) do
      local subject = redis.call('HGET', record_key(id), 'budget' .. place)
      redis.call('HINCRBY', prefix .. 'spent', subject, kept - cost)
    end
  end
  local cut = string.find(id, '\n', 1, true)
  enter(kind, string.sub(id, 1, cut - 1), key_id, plan, version, string.sub(id, cut + 1), clips,
    kept - cost)
end

-- Release a running query: all that it holds goes back.
local function give_back(id, kind)
  settle(id, 'released', kind, 0)
end

