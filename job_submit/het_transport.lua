--- One request and one reply over a unix stream socket, within one total deadline.
-- slurmctld holds its locks while the hook runs, so every step is bounded, and a circuit breaker
-- stops asking a daemon that does not answer.

local protocol = require("het_protocol")

local M = {}

--- A circuit breaker: after `failures` failures in a row it refuses calls for `seconds`, then lets
-- single tries through until one succeeds. `now` returns seconds.
function M.breaker(failures, seconds, now)
  local self, failed, opened = {}, 0, nil

  --- Whether a call may be made now.
  function self.allows()
    local waited = opened and now() - opened
    -- A clock that was set back must not keep the breaker open for longer than it should be.
    return not waited or waited >= seconds or waited < 0
  end

  --- Record the outcome of a call.
  function self.record(ok)
    failed = ok and 0 or failed + 1
    opened = failed >= failures and now() or nil
  end

  return self
end

M.MAX_USERS = 1000

--- Breakers: one for each user, and one for all. Who alone makes the daemon fail, by scripts that
-- take it long, is refused alone; all are once submissions of two users have failed in a row.
function M.breakers(failures, seconds, now)
  local self, all, own, count = {}, M.breaker(1, seconds, now), {}, 0
  local failed, last, several = 0, nil, false

  --- Whether a call for this user may be made now.
  function self.allows(user)
    return all.allows() and (not own[user] or own[user].allows())
  end

  --- Record the outcome of a call for a user.
  function self.record(user, ok)
    if ok then
      failed, last, several = 0, nil, false
      if own[user] then own[user], count = nil, count - 1 end
      all.record(true)
      return
    end
    several = several or (last ~= nil and last ~= user)
    failed, last = failed + 1, user
    if not own[user] then
      if count == M.MAX_USERS then own, count = {}, 0 end
      own[user], count = M.breaker(failures, seconds, now), count + 1
    end
    own[user].record(false)
    if several and failed >= failures then all.record(false) end
  end

  return self
end

M.MAX_KEPT, M.MAX_KEPT_BYTES = 16, 16384

--- Replies by the body they answer, each for as long as it says itself (`keep_ms=N&` in front):
-- where one script is submitted again and again the daemon is asked a few times a second.
-- At most MAX_KEPT of them, of bodies of at most MAX_KEPT_BYTES. `now` returns seconds.
function M.memory(now)
  local self, kept, count = {}, {}, 0

  --- The reply kept for `body`, or nil.
  function self.recall(body)
    local entry = kept[body]
    if not entry then return nil end
    local age = now() - entry.at
    -- A clock that was set back must not keep it for longer.
    if age >= 0 and age < entry.seconds then return entry.reply end
    kept[body], count = nil, count - 1
    return nil
  end

  --- Keep a reply that says how long it counts; there is none for `body` yet.
  function self.keep(body, reply)
    local ms = reply:match("^keep_ms=(%d%d?%d?)&")
    if not ms or #body > M.MAX_KEPT_BYTES then return end
    if count == M.MAX_KEPT then kept, count = {}, 0 end
    kept[body], count = { reply = reply, at = now(), seconds = ms / 1000 }, count + 1
  end

  return self
end

local function explain(err, deadline_ms)
  if err == "timeout" then return string.format("timeout after %.0f ms", deadline_ms) end
  if err == "closed" then return "the daemon closed the connection" end
  return tostring(err)
end

local function talk(sock, path, frame, arm)
  arm()
  local ok, err = sock:connect(path)
  if not ok then return nil, err end
  arm()
  ok, err = sock:send(frame)
  if not ok then return nil, err end
  arm()
  local header, body, length
  header, err = sock:receive(8)
  if not header then return nil, err end
  length, err = protocol.parse_header(header)
  if not length then return nil, err end
  arm()
  body, err = sock:receive(length)
  return body, err
end

--- Send `body` to the socket at `path`, return the reply's body; or nil and why not.
-- `lib` holds LuaSocket's `stream` constructor and `now`.
function M.exchange(path, body, deadline_ms, lib)
  local budget = deadline_ms / 1000
  local deadline = lib.now() + budget
  local sock, err = lib.stream()
  if not sock then return nil, explain(err, deadline_ms) end
  local function arm()
    -- LuaSocket takes a negative timeout as "for ever"; and the clock may be set back meanwhile.
    sock:settimeout(math.max(0, math.min(budget, deadline - lib.now())), "t")
  end
  local ok, reply, why = pcall(talk, sock, path, protocol.frame(body), arm)
  sock:close()
  if not ok then return nil, explain(reply, deadline_ms) end
  if not reply then return nil, explain(why, deadline_ms) end
  return reply
end

--- LuaSocket's parts that we use, or nil and why it cannot be loaded.
function M.load_socket()
  local ok, socket = pcall(require, "socket")
  local has_unix, unix = pcall(require, "socket.unix")
  if not ok or not has_unix then
    -- Slurm may be built with another Lua than the one that LuaSocket was installed for.
    local why = tostring(ok and unix or socket)
    return nil, "this Slurm has " .. _VERSION .. ", and no LuaSocket for that is installed: " .. why
  end
  -- LuaSocket before 3.0 returns the stream constructor itself.
  local stream = type(unix) == "table" and unix.stream or unix
  return { stream = stream, dgram = type(unix) == "table" and unix.dgram or nil, now = socket.gettime }
end

--- `tell()` sends an event to the socket at `path`, as het_event.lua does: it never waits, and an event
-- that nobody hears only costs a polling period.
function M.teller(path, lib)
  local sock = path and lib.dgram and lib.dgram()
  if not sock then return function() end end
  sock:settimeout(0)
  return function() sock:sendto("update", path) end
end

--- A client for the hook: `call(make, user)` returns the reply to the body that `make()` returns, or
-- nil and why not. While the breaker is open no body is made: a script of 64 KiB takes a while.
function M.client(cfg, lib)
  local breakers = M.breakers(cfg.breaker_failures, cfg.breaker_seconds, lib.now)
  local memory = M.memory(lib.now)
  return function(make, user)
    user = user or ""
    if not breakers.allows(user) then return nil, "daemon not asked, it failed before" end
    local body = make()
    local kept = memory.recall(body)
    if kept then return kept end
    local reply, err = M.exchange(cfg.socket, body, cfg.deadline_ms, lib)
    breakers.record(user, reply ~= nil)
    if reply then memory.keep(body, reply) end
    return reply, err
  end
end

return M
