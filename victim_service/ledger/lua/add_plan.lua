-- Keep a version of a plan, if it follows the latest one by 1.
-- ARGV: born, name, version, source, document.
-- Returns 1, or 0 when it does not.
local versions = prefix .. 'plan:' .. ARGV[2]
if redis.call('LLEN', versions) ~= tonumber(ARGV[3]) - 1 then
  return 0
end
redis.call('HSET', prefix .. 'plans', ARGV[2], ARGV[3])
redis.call('RPUSH', versions, text(clock()) .. '\n' .. ARGV[4] .. '\n' .. ARGV[5])
return 1
