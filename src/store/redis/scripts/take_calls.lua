-- Takes calls of a user from what all servers may make together, by the generic cell rate algorithm.
-- KEYS: the time until which the calls so far have made use of the rate, in microseconds. ARGV: calls in a second, calls that are
-- wanted. Gives the calls that were taken, and after how many milliseconds there are as many as were wanted.
local per_s, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used_until = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
-- A second's calls may come at once.
local room = now + 1000000 - used_until
local taken = math.max(math.min(math.floor(room * per_s / 1000000), wanted), 0)
if taken > 0 then
  used_until = used_until + math.floor(taken * 1000000 / per_s)
  -- Lua would write so large a number with an exponent.
  redis.call('SET', KEYS[1], string.format('%.0f', used_until), 'PX', math.ceil((used_until - now) / 1000) + 1)
end
return {taken, math.max(math.ceil((wanted * 1000000 / per_s - room) / 1000), 0)}
