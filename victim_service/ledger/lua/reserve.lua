-- Charge every policy of a query or none, and write its idempotency record.
-- ARGV: born, account, idempotency, payload, clips, key id, plan, plan version, model, token or ''
--   to write nothing and tell what would be, lease in s, cost in units, number of budgets, (subject,
--   limit or '') of each, (subject, clips/s, burst) of each rate.
-- Returns {refusal} or {refusal, seconds}, or {'granted' or 'refused', now, cost, replayed,
--   plan version, defence state, {units spent by each budget}, {arrival time of each rate}}: figures
--   as they are when the script ends.
local account, idempotency, payload = ARGV[2], ARGV[3], ARGV[4]
local clips, key_id, plan, model = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[9]
local token, lease_s, units = ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12])
local n_budgets, version = tonumber(ARGV[13]), ARGV[8]
local first_rate = 14 + 2 * n_budgets
local now, id = clock(), query_id(account, idempotency)
local record = record_key(id)

local held = redis.call('HMGET', record, 'payload', 'clips', 'state', 'lease_until', 'plan',
  'version', 'model', 'defence_state', 'token', 'cost', 'budgets')
local state = held[3]
local replayed, again = state == 'committed', state == 'running' and held[9] == token
-- A reservation that nobody was answered for: it goes back, and the query is bought as it is sold now.
local lapsed = state == 'running' and not again
if held[1] then
  if held[1] ~= payload or tonumber(held[2]) ~= clips then
    return {'other-bytes'}
  elseif lapsed and tonumber(held[4]) > now then
    return {'still-running', text(tonumber(held[4]) - now)}
  elseif replayed and held[5] ~= plan then
    return {'other-plan'}
  elseif replayed and held[7] ~= model then
    return {'other-model'}
  end
end

if redis.call('EXISTS', void_key(token)) == 1 then
  return {'void'}
end

local cost, defence_state = units, nil
if replayed or again then
  cost, version, defence_state = 0, held[6], held[8]
else
  defence_state = redis.call('HGET', prefix .. 'accounts', account) or ''
end
local freed = {}
for place = 1, lapsed and tonumber(held[11]) or 0 do
  freed[redis.call('HGET', record, 'budget' .. place)] = tonumber(held[10] or held[2])
end

local spent, arrivals, after = {}, {}, {}
local function reply(outcome, charged)
  return {outcome, text(now), charged, replayed and 1 or 0, version, defence_state, spent, arrivals}
end

-- All policies are looked at before one is charged.
local refused = false
for place = 1, n_budgets do
  local subject, limit = ARGV[12 + 2 * place], ARGV[13 + 2 * place]
  spent[place] = tonumber(redis.call('HGET', prefix .. 'spent', subject) or 0)
    - (freed[subject] or 0)
  refused = refused or (cost > 0 and limit ~= '' and spent[place] + cost > tonumber(limit))
end
for place = 1, (#ARGV - first_rate + 1) / 3 do
  local at = first_rate + 3 * (place - 1)
  local per_s, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  arrivals[place] = redis.call('HGET', prefix .. 'rates', ARGV[at]) or '0'
  -- The generic cell rate algorithm, operation by operation as in gcra.py.
  after[place] = math.max(tonumber(arrivals[place]), now) + clips / per_s
  refused = refused or clips > burst or after[place] - burst / per_s - now > 1e-6
end
-- The same call sent once more, because its first answer was lost: it holds what it was granted.
if again then
  return reply('granted', tonumber(held[10]))
elseif refused then
  return reply('refused', cost)
elseif token == '' then
  return reply('granted', 0)
end

if not replayed then
  if lapsed then
    give_back(id, 'reap')
  end
  local budgets = {}
  for place = 1, n_budgets do
    budgets[2 * place - 1], budgets[2 * place] = 'budget' .. place, ARGV[12 + 2 * place]
  end
  redis.call('HSET', record, 'payload', payload, 'clips', clips, 'state', 'running',
    'cost', cost, 'key_id', key_id, 'plan', plan, 'version', version, 'model', model,
    'defence_state', defence_state, 'token', token,
    'lease_until', text(now + lease_s), 'budgets', n_budgets, unpack(budgets))
  for place = 1, n_budgets do
    spent[place] = redis.call('HINCRBY', prefix .. 'spent', ARGV[12 + 2 * place], cost)
  end
  redis.call('ZADD', prefix .. 'running', text(now + lease_s), id)
end
for place = 1, #after do
  arrivals[place] = text(after[place])
  redis.call('HSET', prefix .. 'rates', ARGV[first_rate + 3 * (place - 1)], arrivals[place])
end
enter(replayed and 'replay' or 'reserve', account, key_id, plan, version, idempotency, clips, cost)
return reply('granted', cost)
