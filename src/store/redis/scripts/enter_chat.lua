-- KEYS: the user's chats, and a new session's key if there is to be one.
-- ARGV: the chat, chats and sessions that the user may have, and of the new session: id, workspace, user, when it was opened,
-- state, milliseconds of retention.
-- Gives the chat's session, and those that have ended.
local chat, most_chats, most_sessions, id, workspace, user, opened, state, retention = unpack(ARGV)
local session = serving(KEYS[1], chat)
if session or not id then
  return {session, {}}
end
local ended = insert(KEYS[2], most_sessions, id, workspace, user, opened, state, retention)
give_chat(KEYS[1], chat, id, retention, most_chats)
return {id, ended}
