-- KEYS: the user's chats. ARGV: the chat, the session's id, milliseconds of retention, chats that the user may have.
local chat, id, retention, most = unpack(ARGV)
if lives(id) and not serving(KEYS[1], chat) then
  give_chat(KEYS[1], chat, id, retention, most)
end
