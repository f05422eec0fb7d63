-- KEYS: the user's chats. ARGV: the user, milliseconds of retention, and for each session its id, and how many milliseconds it
-- lasts from now.
local retention = tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local id, ttl = ARGV[i], tonumber(ARGV[i + 1])
  if lives(id) then
    extend(of_session('session', id), ttl)
    extend(chats, ttl)
    extend(ages, ttl)
    note_use(id, retention - ttl, ttl)
  end
end
