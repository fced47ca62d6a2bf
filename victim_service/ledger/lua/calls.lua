-- Run plain commands at one moment.
-- ARGV: born, then each command behind the number of its words.
-- Returns {now, reply to each command}.
local replies, at = {text(clock())}, 2
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
return replies
