-- What several scripts need. The names of keys are made as in keys.rs; so this is for a single Redis, not a cluster.

local function lives(session)
  return redis.call('EXISTS', 'mcp:session:' .. session) == 1
end

-- The session that a chat has, if that lives.
local function serving(chats, chat)
  local session = redis.call('HGET', chats, chat)
  if session and lives(session) then
    return session
  end
  return false
end

local function insert(key, workspace, user, opened, state, retention)
  redis.call('HSET', key, 'workspace', workspace, 'user', user, 'opened', opened, 'state', state, 'version', 0)
  redis.call('PEXPIRE', key, retention)
end

-- Gives a chat a session. Some others are looked at, so that those whose session is gone don't pile up.
local function give_chat(chats, chat, session, retention)
  redis.call('HSET', chats, chat, session)
  redis.call('PEXPIRE', chats, retention)
  for _, other in ipairs(redis.call('HRANDFIELD', chats, 4)) do
    if not serving(chats, other) then
      redis.call('HDEL', chats, other)
    end
  end
end

-- Makes a key last for so long at least.
local function extend(key, lasting)
  if redis.call('PTTL', key) < lasting then
    redis.call('PEXPIRE', key, lasting)
  end
end

