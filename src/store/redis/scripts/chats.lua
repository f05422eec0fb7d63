-- KEYS: the user's chats. ARGV: the user, the cursor of a page. Gives the cursor of the next, and each chat of this one with its
-- session.
local found = {}
local page = redis.call('HSCAN', chats, ARGV[2], 'COUNT', 500)
local all = page[2]
for i = 1, #all, 2 do
  if lives(all[i + 1]) then
    found[#found + 1] = all[i]
    found[#found + 1] = all[i + 1]
  else
    forget_chat(all[i])
  end
end
return {page[1], found}
