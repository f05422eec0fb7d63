-- Notes how many streams a user has at a server, unless all servers would have too many; gives 1 where that is noted.
-- KEYS: the servers with streams of the user, a hash. ARGV: the server, its streams, how many all may have or nothing where any
-- number is noted, milliseconds that a note lasts, the servers that live.
local server, streams, most, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lives = {}
for i = 5, #ARGV do
  lives[ARGV[i]] = true
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local total = streams
local notes = redis.call('HGETALL', KEYS[1])
for i = 1, #notes, 2 do
  local count, noted = string.match(notes[i + 1], '^(%d+) (%d+)$')
  if not count or now - noted > ttl then
    redis.call('HDEL', KEYS[1], notes[i])
  elseif lives[notes[i]] and notes[i] ~= server then
    total = total + count
  end
end
if most and total > most then
  return 0
end
if streams > 0 then
  redis.call('HSET', KEYS[1], server, string.format('%.0f %.0f', streams, now))
  redis.call('PEXPIRE', KEYS[1], ttl)
else
  redis.call('HDEL', KEYS[1], server)
end
return 1
