-- KEYS: sessions. ARGV: milliseconds of retention, and for each session, how many milliseconds it lasts from now.
local retention = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local owner = redis.call('HMGET', key, 'workspace', 'user')
  if owner[1] then
    local ttl = tonumber(ARGV[i + 1])
    local chats = of_owner('chats', owner[1], owner[2])
    extend(key, ttl)
    extend(chats, ttl)
    extend(ages_of(chats), ttl)
    note_use(owner[1], owner[2], string.sub(key, #'mcp:session:' + 1), retention - ttl, ttl)
  end
end
