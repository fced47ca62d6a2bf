-- Release reservations whose lease ended long ago.
-- ARGV: born, seconds since the lease ended, most reservations to release.
-- Returns how many were released.
local latest = text(clock() - tonumber(ARGV[2]))
local ids = redis.call('ZRANGEBYSCORE', prefix .. 'running', '-inf', latest, 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  give_back(id, 'reap')
end
return #ids
