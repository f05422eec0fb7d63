-- KEYS: the session, its user's chats.
-- ARGV: chats and sessions that the user may have; the session's id, workspace, user, when it was opened, state, milliseconds
-- of retention, and the chat if it has one.
-- Gives the session that had the chat, and those that have ended.
local most_chats, most_sessions, id, workspace, user, opened, state, retention, chat = unpack(ARGV)
local before = chat and serving(KEYS[2], chat)
local ended = insert(KEYS[1], most_sessions, id, workspace, user, opened, state, retention)
if chat then
  give_chat(KEYS[2], chat, id, retention, most_chats)
end
return {before and lives(before) and before or false, ended}
