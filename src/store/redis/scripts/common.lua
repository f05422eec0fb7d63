-- What several scripts need. Their first argument is the name of the user whose data they change, as keys.rs makes it, and the
-- names of keys are made here as there: on a cluster all are in the slot of that user.
local owner = ARGV[1]

-- Of one user no more is removed at once than this, so that nobody else waits for it.
local MOST_REMOVED = 100

-- The name of what a session has of a kind. On a cluster the name of the user is in braces, and ends it.
local function of_session(kind, id)
  local name = 'mcp:' .. kind .. ':' .. id
  if string.sub(owner, 1, 1) == '{' then
    return name .. ':' .. owner
  end
  return name
end

-- The keys of what a user has: chats with their sessions, when each was bound, and sessions by their last use.
local chats = 'mcp:chats:' .. owner
local ages = 'mcp:chat-ages:' .. owner
local sessions = 'mcp:sessions:' .. owner

local function lives(id)
  return redis.call('EXISTS', of_session('session', id)) == 1
end

-- Microseconds since 1970.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The session that a chat has, if that lives.
local function serving(chat)
  local session = redis.call('HGET', chats, chat)
  if session and lives(session) then
    return session
  end
  return false
end

-- Makes a key last for so long at least.
local function extend(key, ttl)
  if redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
end

-- Notes that a session was used so many milliseconds ago, and lasts for as many.
local function note_use(id, ago, ttl)
  redis.call('ZADD', sessions, 'GT', now() - ago * 1000, id)
  extend(sessions, ttl)
end

-- Keeps a new session. Gives those of its user that end, so that no more than `most` are kept: the ones not used for longest.
local function insert(most, id, workspace, user, opened, state, retention)
  local key = of_session('session', id)
  redis.call('HSET', key, 'workspace', workspace, 'user', user, 'opened', opened, 'state', state, 'version', 0)
  redis.call('PEXPIRE', key, retention)
  note_use(id, 0, tonumber(retention))
  -- Sessions expire by themselves, and are not told of.
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now() - retention * 1000)
  local ended = {}
  local excess = math.min(redis.call('ZCARD', sessions) - most, MOST_REMOVED)
  if excess > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', sessions, 0, excess)) do
      if oldest ~= id and excess > 0 then
        excess = excess - 1
        redis.call('ZREM', sessions, oldest)
        if redis.call('DEL', of_session('session', oldest), of_session('events', oldest)) > 0 then
          ended[#ended + 1] = oldest
        end
      end
    end
  end
  return ended
end

local function forget_chat(chat)
  redis.call('HDEL', chats, chat)
  redis.call('ZREM', ages, chat)
end

-- The chat that was bound first. One whose age is not known was bound by a server of an earlier version.
local function oldest_chat()
  if redis.call('ZCARD', ages) < redis.call('HLEN', chats) then
    for _, chat in ipairs(redis.call('HRANDFIELD', chats, 16)) do
      if not redis.call('ZSCORE', ages, chat) then
        return chat
      end
    end
  end
  return redis.call('ZRANGE', ages, 0, 0)[1]
end

-- Gives a chat a session. Some others are looked at, so that those whose session is gone don't pile up; beyond `most`, the
-- oldest are forgotten.
local function give_chat(chat, session, retention, most)
  redis.call('HSET', chats, chat, session)
  redis.call('PEXPIRE', chats, retention)
  redis.call('ZADD', ages, now(), chat)
  redis.call('PEXPIRE', ages, retention)
  for _, other in ipairs(redis.call('HRANDFIELD', chats, 4)) do
    if not serving(other) then
      forget_chat(other)
    end
  end
  local removed = 0
  while redis.call('HLEN', chats) > tonumber(most) and removed < MOST_REMOVED do
    local oldest = oldest_chat()
    if not oldest or oldest == chat then
      break
    end
    forget_chat(oldest)
    removed = removed + 1
  end
end

