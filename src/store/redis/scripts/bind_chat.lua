-- KEYS: the user's chats. ARGV: the user, the chat, the session's id, milliseconds of retention, chats that the user may have.
local _, chat, id, retention, most = unpack(ARGV)
if lives(id) and not serving(chat) then
  give_chat(chat, id, retention, most)
end
