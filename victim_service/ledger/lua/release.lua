-- End the lease of a running query, if its holder asks.
-- ARGV: born, account, idempotency, token, and one of: release, give the units back; abandon, they
--   stay until a retry or the reaper; undo, release what this token got or may still get.
local id = query_id(ARGV[2], ARGV[3])
local held = redis.call('HMGET', record_key(id), 'state', 'token')
if held[1] ~= 'running' or held[2] ~= ARGV[4] then
  if ARGV[5] == 'undo' then
    -- Its request may be on its way yet: it shall find that nobody waits any more.
    redis.call('SET', void_key(ARGV[4]), 1, 'EX', 600)
  end
  return 0
elseif ARGV[5] == 'abandon' then
  local now = text(clock())
  redis.call('HSET', record_key(id), 'lease_until', now)
  redis.call('ZADD', prefix .. 'running', now, id)
else
  give_back(id, 'release')
end
return 1
