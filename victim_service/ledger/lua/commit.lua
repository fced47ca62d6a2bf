-- Make a reservation final, unless somebody else has bought the query meanwhile. Once is as twice.
-- ARGV: born, account, idempotency, token, final cost or '' for what was reserved, which is also
--   the most.
-- Returns 1, or 0 when the answer must not leave.
local id = query_id(ARGV[2], ARGV[3])
local held = redis.call('HMGET', record_key(id), 'state', 'token')
if held[2] ~= ARGV[4] then
  return 0
elseif held[1] == 'running' then
  settle(id, 'committed', 'commit', ARGV[5])
  return 1
end
return held[1] == 'committed' and 1 or 0
