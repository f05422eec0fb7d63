-- KEYS: the user's chats.
-- ARGV: the user, chats and sessions that the user may have; the session's id, workspace, user, when it was opened, state,
-- milliseconds of retention, and the chat if it has one.
-- Gives the session that had the chat, and those that have ended.
local _, most_chats, most_sessions, id, workspace, user, opened, state, retention, chat = unpack(ARGV)
local key = of_session('session', id)
local before = chat and serving(chat)
if before == id then
  -- A repeat, after the answer was lost.
  before = redis.call('HGET', key, 'before')
end
local ended = insert(most_sessions, id, workspace, user, opened, state, retention)
if chat then
  give_chat(chat, id, retention, most_chats)
end
before = before and lives(before) and before or false
if before then
  redis.call('HSET', key, 'before', before)
end
return {before, ended}
