-- Enter the use of an audit key, which no budget and no rate sees.
-- ARGV: born, account, key id, plan, plan version, idempotency, clips.
enter('audit', ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), 0)
return 1
