-- KEYS: the session, its events. ARGV: the user, the session's id, workspace and user whose it must be, channel and text of the news
-- if they go out from here.
local _, id, workspace, user, channel, news = unpack(ARGV)
local found = redis.call('HMGET', KEYS[1], 'workspace', 'user')
if found[1] ~= workspace or found[2] ~= user then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', sessions, id)
if channel ~= '' then
  redis.call('PUBLISH', channel, news)
end
return 1
