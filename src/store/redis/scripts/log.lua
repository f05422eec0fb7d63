-- KEYS: the session, its events. ARGV: events at most, bytes of requests' ids and messages at most, milliseconds that they
-- last, and the event: stream, place, server, request, message, whether it is the last.
-- Bytes are counted at the session, beside what it is, and so is the last event, by which a repeat of it is known.
local max_events, max_bytes, ttl, stream, place, server, request, message, last = unpack(ARGV)
local newest = table.concat({stream, place, server, last}, ':')
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HGET', KEYS[1], 'newest') == newest then
  return
end
local events = redis.call('XLEN', KEYS[2])
if events == 0 then
  redis.call('HSET', KEYS[1], 'logged', 0)
end
redis.call('HSET', KEYS[1], 'newest', newest)
redis.call('XADD', KEYS[2], '*', 's', stream, 'p', place, 'r', server, 'i', request, 'm', message, 'e', last)
events = events + 1
local bytes = redis.call('HINCRBY', KEYS[1], 'logged', #request + #message)
while events > 0 and (events > tonumber(max_events) or bytes > tonumber(max_bytes)) do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[2], oldest[1])
  events = events - 1
  bytes = redis.call('HINCRBY', KEYS[1], 'logged', 0 - #oldest[2][8] - #oldest[2][10])
end
redis.call('PEXPIRE', KEYS[2], ttl)
