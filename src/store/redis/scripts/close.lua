-- KEYS: the session, its events. ARGV: workspace and user whose it must be, channel and text of the news.
local workspace, user, channel, news = unpack(ARGV)
local owner = redis.call('HMGET', KEYS[1], 'workspace', 'user')
if owner[1] ~= workspace or owner[2] ~= user then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', of_owner('sessions', workspace, user), string.sub(KEYS[1], #'mcp:session:' + 1))
redis.call('PUBLISH', channel, news)
return 1
