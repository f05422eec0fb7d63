-- KEYS: the user's chats. ARGV: the user, the chat, chats and sessions that the user may have, and if there is to be a new session:
-- its id, workspace, user, when it was opened, state, milliseconds of retention.
-- Gives the chat's session, and those that have ended.
local _, chat, most_chats, most_sessions, id, workspace, user, opened, state, retention = unpack(ARGV)
local session = serving(chat)
if session or not id then
  return {session, {}}
end
local ended = insert(most_sessions, id, workspace, user, opened, state, retention)
give_chat(chat, id, retention, most_chats)
return {id, ended}
