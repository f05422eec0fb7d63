-- KEYS: sessions. ARGV: for each, how many milliseconds it lasts from now.
for i, key in ipairs(KEYS) do
  local owner = redis.call('HMGET', key, 'workspace', 'user')
  if owner[1] then
    local lasting = tonumber(ARGV[i])
    extend(key, lasting)
    extend('mcp:chats:' .. #owner[1] .. ':' .. owner[1] .. ':' .. owner[2], lasting)
  end
end
