-- KEYS: the session, its user's chats.
-- ARGV: the session's id, workspace, user, when it was opened, state, milliseconds of retention, and the chat if it has one.
local id, workspace, user, opened, state, retention, chat = unpack(ARGV)
insert(KEYS[1], workspace, user, opened, state, retention)
if not chat then
  return false
end
local before = serving(KEYS[2], chat)
give_chat(KEYS[2], chat, id, retention)
return before
