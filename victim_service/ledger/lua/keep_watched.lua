-- Replace what is kept of an account, if nobody has since it was read, and append notes.
-- ARGV: born, account, version that was read, memory, state, most readings to keep, then (kind,
--   text) of each note.
-- Returns 1, or 0 when the account is at another version.
local account = ARGV[2]
local found = tonumber(redis.call('HGET', prefix .. 'watched', account) or 0)
if found ~= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', prefix .. 'watched', account, found + 1)
redis.call('HSET', prefix .. 'memories', account, ARGV[4])
redis.call('HSET', prefix .. 'accounts', account, ARGV[5])
for at = 7, #ARGV, 2 do
  -- One count for all kinds of an account, so that they can be told in their order.
  local id = redis.call('HINCRBY', prefix .. 'noted', account, 1) .. '-0'
  local stream = prefix .. 'notes:' .. ARGV[at] .. ':' .. account
  local fields = {'at', text(clock()), 'text', ARGV[at + 1]}
  if ARGV[at] == 'reading' then
    redis.call('XADD', stream, 'MAXLEN', ARGV[6], id, unpack(fields))
  else
    redis.call('XADD', stream, id, unpack(fields))
  end
end
return 1
