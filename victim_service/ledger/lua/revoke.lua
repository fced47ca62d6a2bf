-- Revoke an API key; the first time stands.
-- ARGV: born, key id.
-- Returns 1, or 0 when there is no such key.
if redis.call('HEXISTS', prefix .. 'keys', ARGV[2]) == 0 then
  return 0
end
redis.call('HSETNX', prefix .. 'revoked', ARGV[2], text(clock()))
return 1
