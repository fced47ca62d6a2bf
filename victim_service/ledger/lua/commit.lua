-- Make a reservation final, unless the record is by now that of another answer. Once is as twice.
-- ARGV: born, account, idempotency, model, plan version, defence state, key id, plan, clips.
-- Returns 1, or 0 when the answer must not leave.
local id = query_id(ARGV[2], ARGV[3])
local held = redis.call('HMGET', record_key(id), 'state', 'model', 'version', 'defence_state')
if held[2] ~= ARGV[4] or held[3] ~= ARGV[5] or held[4] ~= ARGV[6] then
  return 0
elseif held[1] == 'running' then
  redis.call('HSET', record_key(id), 'state', 'committed')
  redis.call('ZREM', prefix .. 'running', id)
  enter('commit', ARGV[2], ARGV[7], ARGV[8], ARGV[5], ARGV[3], tonumber(ARGV[9]), 0)
  return 1
end
return held[1] == 'committed' and 1 or 0
