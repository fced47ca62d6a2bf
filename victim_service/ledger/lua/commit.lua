-- Make a reservation final, unless the record is by now that of another answer. Once is as twice.
-- ARGV: born, account, idempotency, model, plan version, defence state, final cost or '' for what
--   was reserved, which is also the most.
-- Returns 1, or 0 when the answer must not leave.
local id = query_id(ARGV[2], ARGV[3])
local held = redis.call('HMGET', record_key(id), 'state', 'model', 'version', 'defence_state')
if held[2] ~= ARGV[4] or held[3] ~= ARGV[5] or held[4] ~= ARGV[6] then
  return 0
elseif held[1] == 'running' then
  settle(id, 'committed', 'commit', ARGV[7])
  return 1
end
return held[1] == 'committed' and 1 or 0
