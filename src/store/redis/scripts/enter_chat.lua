-- KEYS: the user's chats, and a new session's key if there is to be one.
-- ARGV: the chat, and of the new session: id, workspace, user, when it was opened, state, milliseconds of retention.
local chat, id, workspace, user, opened, state, retention = unpack(ARGV)
local session = serving(KEYS[1], chat)
if session or not id then
  return session
end
insert(KEYS[2], workspace, user, opened, state, retention)
give_chat(KEYS[1], chat, id, retention)
return id
