--- What the job-submit hook says and decides, without any I/O.
-- A frame is 8 hex digits (bytes of the body), then the body: k=v&k=v, percent-encoded.
-- A "job" here is Slurm's job_desc, or any table with the same fields.

local M = {}

M.MAX_REPLY = 16384
M.MAX_VALUE = 1024
M.MAX_ADMIN_COMMENT = 1000
M.MAX_LOG = 400

local NO_VAL16, NO_VAL, INFINITE = 65534, 4294967294, 4294967295
-- Slurm's 64-bit NO_VAL and flag bits arrive as doubles around 2^63; no real amount is near.
local NO_VAL64 = 2 ^ 62

local TRES_FIELDS = { "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket" }
local TRES_FIELD = {}
for _, field in ipairs(TRES_FIELDS) do TRES_FIELD[field] = true end

local NOT_GRES = { cpu = true, mem = true, node = true, billing = true, energy = true, pages = true, vmem = true }

-- Sent in this order: {wire key, job_desc field, kind}; a number kind is the smallest unset value.
local REQUEST = {
  { "user_id", "user_id", NO_VAL }, { "user_name", "user_name", "text" },
  { "group_id", "group_id", NO_VAL }, { "name", "name", "text" },
  { "account", "account", "text" }, { "qos", "qos", "text" },
  { "partition", "partition", "whole" }, { "features", "features", "whole" },
  { "tres_per_node", "tres_per_node", "tres" }, { "tres_per_job", "tres_per_job", "tres" },
  { "tres_per_task", "tres_per_task", "tres" }, { "tres_per_socket", "tres_per_socket", "tres" },
  { "cpus_per_tres", "cpus_per_tres", "tres" }, { "mem_per_tres", "mem_per_tres", "tres" },
  { "min_nodes", "min_nodes", NO_VAL }, { "max_nodes", "max_nodes", NO_VAL },
  { "num_tasks", "num_tasks", NO_VAL }, { "cpus_per_task", "cpus_per_task", NO_VAL16 },
  { "ntasks_per_node", "ntasks_per_node", NO_VAL16 }, { "pn_min_cpus", "pn_min_cpus", NO_VAL16 },
  -- pn_min_memory itself loses its low bits beside the per-CPU flag once it is a double.
  { "pn_min_memory", "min_mem_per_node", NO_VAL64 }, { "min_mem_per_cpu", "min_mem_per_cpu", NO_VAL64 },
  { "min_cpus", "min_cpus", NO_VAL }, { "exc_nodes", "exc_nodes", "text" },
  { "req_nodes", "req_nodes", "text" },
  { "threads_per_core", "threads_per_core", NO_VAL16 },
  { "sockets_per_node", "sockets_per_node", NO_VAL16 },
  { "cores_per_socket", "cores_per_socket", NO_VAL16 },
  { "pn_min_tmp_disk", "pn_min_tmp_disk", NO_VAL },
  { "priority", "priority", NO_VAL },
  { "time_limit", "time_limit", NO_VAL }, { "time_min", "time_min", NO_VAL },
  { "array_inx", "array_inx", "whole" },
  { "comment", "comment", "text" }, { "reservation", "reservation", "whole" },
  { "shared", "shared", NO_VAL16 },
}

-- What else bears on when or where a job may start: {job_desc field, "text" or the smallest unset
-- value}. Of srun's and salloc's jobs hetd is told which of these they have: those wait for its look.
local UNLIKE = {
  { "exc_nodes", "text" }, { "prefer", "text" }, { "licenses", "text" }, { "dependency", "text" },
  { "burst_buffer", "text" }, { "clusters", "text" }, { "begin_time", NO_VAL }, { "deadline", NO_VAL },
  { "time_min", NO_VAL }, { "req_switch", NO_VAL }, { "contiguous", NO_VAL16 }, { "reboot", NO_VAL16 },
  { "threads_per_core", NO_VAL16 }, { "ntasks_per_core", NO_VAL16 }, { "ntasks_per_socket", NO_VAL16 },
  { "ntasks_per_tres", NO_VAL16 }, { "sockets_per_node", NO_VAL16 }, { "cores_per_socket", NO_VAL16 },
  { "core_spec", NO_VAL16 }, { "pn_min_tmp_disk", NO_VAL },
}

-- What the daemon may set, in the order of assignment.
local SETTABLE = {
  "features", "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket",
  "comment", "admin_comment", "req_nodes", "partition",
}

local ACTIONS = { admit = true, pass = true, reject = true }
local ON_FAILURE = { intake = true, pass = true, hold = true, reject = true }

--- Text without control characters, cut to `limit` bytes: fit for one log line.
function M.clean(text, limit)
  return (tostring(text):sub(1, limit or M.MAX_LOG):gsub("[%z\1-\31\127]", "?"))
end

-- Wire format ---------------------------------------------------------------------------------

local SPECIAL = "[%z\1-\8\11-\31\127-\255%%&+=]"
local ESCAPE = {}
for byte = 0, 255 do ESCAPE[string.char(byte)] = string.format("%%%02X", byte) end

--- Percent-encode what has a meaning to us, and what is no printable ASCII, tab or newline: a script
-- is long, and slurmctld waits.
function M.escape(text)
  return (text:gsub(SPECIAL, ESCAPE))
end

local function unescape(text)
  if not text:find("[%%+]") then return text end
  local plain = text:gsub("+", " ")
  -- What remains after all well-formed escapes are gone must hold no stray percent sign.
  if plain:gsub("%%%x%x", ""):find("%", 1, true) then return nil end
  return (plain:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Encode a list of {key, value} pairs.
function M.encode(pairs_list)
  local out = {}
  for i, pair in ipairs(pairs_list) do
    out[i] = M.escape(pair[1]) .. "=" .. M.escape(pair[2])
  end
  return table.concat(out, "&")
end

--- Decode a body into a table, or nil and what is wrong with it.
function M.decode(body)
  local out = {}
  for field in (body .. "&"):gmatch("([^&]*)&") do
    local key, value = field:match("^([^=]+)=([^=]*)$")
    key, value = key and unescape(key), value and unescape(value)
    if not key or not value then return nil, "malformed field" end
    if out[key] then return nil, "key sent twice: " .. M.clean(key, 40) end
    out[key] = value
  end
  return out
end

--- Put the length before a body.
function M.frame(body)
  return string.format("%08x", #body) .. body
end

--- Length of the body a reply header announces, or nil and what is wrong with it.
function M.parse_header(header)
  if #header ~= 8 or header:find("[^%x]") then return nil, "garbage instead of a frame" end
  local length = tonumber(header, 16)
  if length == 0 or length > M.MAX_REPLY then return nil, "reply of " .. length .. " bytes" end
  return length
end

-- TRES spelling -------------------------------------------------------------------------------

local function entries(text)
  return text:gmatch("[^,]+")
end

local function strip(entry)
  local rest = entry:match("^gres[:/](.+)$")
  return rest or entry, rest ~= nil
end

--- A TRES list without Slurm's gres: or gres/ prefixes; other tokens (cpu=2) stay.
function M.normalise(text)
  local out = {}
  for entry in entries(text) do out[#out + 1] = (strip(entry)) end
  return table.concat(out, ",")
end

local function is_gres(entry)
  local name = entry:match("^([^:=]+)")
  return name ~= nil and not name:find("/", 1, true) and not NOT_GRES[name]
end

--- The spelling the running Slurm uses: {prefix=, equals=}, read from what the client wrote.
-- `fallback` is the prefix for a job that shows none.
function M.spelling(job, field, fallback)
  local prefix
  for _, name in ipairs(TRES_FIELDS) do
    prefix = prefix or (job[name] or ""):match("gres[:/]")
  end
  local own = (job[field] or ""):match("gres/[^,]*=%d")
  return { prefix = prefix or fallback, equals = own ~= nil }
end

--- A normalised TRES list in Slurm's own spelling.
function M.spell(text, spelling)
  local out = {}
  for entry in entries(text) do
    local rest = strip(entry)
    if is_gres(rest) then
      if spelling.equals then
        rest = rest:gsub(":(%d+[kKmMgGtT]?)$", "=%1")
      else
        rest = rest:gsub("=", ":")
      end
      rest = spelling.prefix .. rest
    end
    out[#out + 1] = rest
  end
  return table.concat(out, ",")
end

-- Which jobs are ours -------------------------------------------------------------------------

local function unset(value, no_val)
  return value == nil or value >= no_val
end

local function given(value)
  return value ~= nil and value ~= ""
end

-- --ntasks-per-gpu alone asks for cards too, but it is slurmctld that works out how many, later.
local function implies_gpus(job)
  return not unset(job.ntasks_per_tres, NO_VAL16) and job.ntasks_per_tres > 0
end

--- Whether any TRES request of the job asks for at least one of the GRES in `names` (a set).
function M.is_accelerator(job, names)
  for _, field in ipairs(TRES_FIELDS) do
    for entry in entries(job[field] or "") do
      local rest = strip(entry)
      local count = rest:match("[:=](%d+)$")
      if names[rest:match("^([^:=]+)")] and tonumber(count or 1) > 0 then return true end
    end
  end
  return names.gpu ~= nil and implies_gpus(job)
end

local function names_no_gres(job)
  for _, field in ipairs(TRES_FIELDS) do
    if given(job[field]) then return false end
  end
  return true
end

local function foreign_partition(job, cfg)
  for name in entries(job.partition or "") do
    if name ~= cfg.intake and not cfg.pools[name] then return name end
  end
  return nil
end

local function too_long(job)
  for _, row in ipairs(REQUEST) do
    if row[3] == "tres" or row[3] == "whole" then  -- each look at a job_desc costs slurmctld a µs
      local value = job[row[2]]
      if value and #value > M.MAX_VALUE then return row[1] end
    end
  end
  return nil
end

--- Why an accelerator job is none of our business, or nil; and whether it goes where we close all
-- that there is: there Slurm looks at no node (24.11 on), so whether it ever fits is for us to say.
function M.pass_reason(job, part_list, cfg)
  -- Before het jobs: a scrontab job comes with het_job_offset 0.
  if job.cron_job then return "scrontab job" end
  if not unset(job.het_job_offset, NO_VAL) then return "het job component" end
  if job.immediate == 1 then return "--immediate" end
  local gated = given(job.partition) and not foreign_partition(job, cfg)
  if given(job.req_nodes) then return "--nodelist", gated end
  if names_no_gres(job) then return "--ntasks-per-gpu without --gpus", gated end
  local other = foreign_partition(job, cfg)
  if other then return "partition " .. other .. " is not ours" end
  if (job.features or ""):find("[%*%[]") then return "features with counts or brackets", gated end
  if part_list and not part_list[cfg.intake] then return "user may not use partition " .. cfg.intake end
  local field = too_long(job)
  return field and (field .. " is too long") or nil
end

-- Request and reply ---------------------------------------------------------------------------

local function wire_value(value, kind)
  if value == nil then return nil end
  if type(kind) == "number" then
    if type(value) ~= "number" or value < 0 or value >= kind or value % 1 ~= 0 then return nil end
    return string.format("%.0f", value)
  end
  if kind == "tres" then return M.normalise(value) end
  return tostring(value):sub(1, M.MAX_VALUE)
end

--- The names of what makes a job unlike a simple one, or nil.
local function unlike(job)
  local names = {}
  if not unset(job.priority, NO_VAL) then names[1] = "priority" end  -- 0 is --hold
  for _, row in ipairs(UNLIKE) do
    local value = job[row[1]]
    local has = type(value) == "number" and row[2] ~= "text" and value > 0 and value < row[2]
    if has or (row[2] == "text" and given(value)) then names[#names + 1] = row[1] end
  end
  return names[1] and table.concat(names, ",")
end

--- What srun and salloc are to run, as a line of a script; nil where that is not told.
local function command(job, limit)
  local argv = job.argv  -- from 0 on; salloc has none, 22.05's srun the first word alone
  if type(argv) ~= "table" then return nil end
  local words, length, i = {}, 0, 0
  while argv[i] do
    local word = tostring(argv[i])
    length, i = length + #word + 3, i + 1
    if length > limit then break end
    words[i] = word:find("[%s'\"]") and "'" .. word:gsub("'", " ") .. "'" or word
  end
  return words[1] and table.concat(words, " ")
end

--- The request body for a job; `op` is admit, or judge: whether plain Slurm would refuse it.
function M.request(job, submit_uid, cfg, op)
  local out = { { "v", "1" }, { "op", op or "admit" }, { "submit_uid", string.format("%.0f", submit_uid) } }
  for _, row in ipairs(REQUEST) do
    local value = wire_value(job[row[2]], row[3])
    if given(value) then out[#out + 1] = { row[1], value } end
  end
  if job.time_limit == INFINITE then out[#out + 1] = { "time_limit", "unlimited" } end
  if op == "judge" then return M.encode(out) end  -- what it runs decides nothing then
  local script = job.script
  if given(script) then
    out[#out + 1] = { "script", script:sub(1, cfg.max_script_bytes) }
  else
    local line = command(job, M.MAX_VALUE)
    if line then out[#out + 1] = { "command", line } end
    local names = unlike(job)
    if names then out[#out + 1] = { "unlike", names } end
  end
  return M.encode(out)
end

--- The daemon's reply, checked: {action=, why=, user_msg=, set={field=value}}; or nil and why not.
function M.reply(body)
  local fields, err = M.decode(body)
  if not fields then return nil, err end
  if not ACTIONS[fields.action or ""] then return nil, "unknown action" end
  local reply = { action = fields.action, why = fields.why or "", user_msg = fields.user_msg, set = {} }
  -- Slurm's number of the error, by which its programs tell the user what they always tell.
  reply.errno = tonumber((fields.errno or ""):match("^%d%d%d%d$"))
  if reply.action ~= "admit" then return reply end
  for _, field in ipairs(SETTABLE) do
    local value = fields[field]
    if value and (#value > M.MAX_VALUE or value:find("[%z\1-\31\127]")) then
      return nil, "bad value for " .. field
    end
    reply.set[field] = value
  end
  return reply
end

local function join_comment(old, new)
  local joined = given(old) and (old .. " " .. new) or new
  return (#joined > M.MAX_ADMIN_COMMENT and new or joined):sub(1, M.MAX_ADMIN_COMMENT)
end

--- The assignments, a list of {field, value} in order, that carry out an admit.
function M.assignments(reply, job, fallback_prefix)
  local out = {}
  for _, field in ipairs(SETTABLE) do
    local value = reply.set[field]
    if value and TRES_FIELD[field] then
      value = M.spell(value, M.spelling(job, field, fallback_prefix))
    elseif value == "" and field == "admin_comment" then
      value = nil
    elseif value and field == "admin_comment" then
      value = join_comment(job.admin_comment, value)
    end
    if value then out[#out + 1] = { field, value } end
  end
  return out
end

-- Decisions -----------------------------------------------------------------------------------

--- What on_failure makes of a job the daemon could not be asked about.
function M.failed(job, part_list, cfg, why)
  local decision = { verb = "fail", set = {}, asked = true }
  if cfg.on_failure == "reject" then
    decision.reject = true
    decision.user = "accelerator jobs cannot be placed now (" .. why .. "); try again later"
    decision.text = ": " .. why .. ", job rejected"
    return decision
  end
  local outcome = "job left as written"
  if cfg.on_failure ~= "pass" and not given(job.partition) and (not part_list or part_list[cfg.intake]) then
    -- Slurm's default partition may have no accelerators: the job could never start there.
    decision.set[1] = { "partition", cfg.intake }
    outcome = "job goes to " .. cfg.intake
  end
  if cfg.on_failure == "hold" then
    table.insert(decision.set, 1, { "priority", 0 })
    outcome, decision.user = "job held", "this job cannot be placed now; it is held"
  end
  decision.text = ": " .. why .. ", " .. outcome
  return decision
end

local function unusable_partition(reply, part_list)
  for name in entries(reply.set.partition or "") do
    if part_list and not part_list[name] then return name end
  end
  return nil
end

--- Decide about one submission; nil if it is no accelerator job. `call(make, user)` asks the daemon
-- for a user with the body that make() returns.
-- A decision is {verb=, text=, set=, reject=, user=, asked=}; nothing is assigned here.
function M.decide(job, part_list, submit_uid, cfg, call)
  if not M.is_accelerator(job, cfg.gres_names) then return nil end
  local why, judged = M.pass_reason(job, part_list, cfg)
  local pass = why and { verb = "pass", text = ": " .. why, set = {} }
  if pass and (not judged or too_long(job)) then return pass end
  local function make() return M.request(job, submit_uid, cfg, pass and "judge") end
  local body, err = call(make, submit_uid)
  local reply
  if body then reply, err = M.reply(body) end
  if pass then  -- it may still be refused, or go where the nodes of all pools are
    if not reply or reply.action == "pass" then return pass end
    reply.set = { partition = reply.set.partition }
  end
  if not reply then return M.failed(job, part_list, cfg, err) end
  local other = unusable_partition(reply, part_list)
  if other then return M.failed(job, part_list, cfg, "no partition " .. other .. " for this user") end
  local decision = { verb = reply.action, set = {}, asked = true, user = reply.user_msg }
  if reply.action == "admit" then
    decision.set = M.assignments(reply, job, cfg.fallback_prefix)
    decision.text = " -> " .. (reply.set.partition or "unchanged")
    if given(reply.why) then decision.text = decision.text .. ": " .. reply.why end
  else
    decision.text = ": " .. reply.why
  end
  if reply.action == "reject" then
    decision.reject, decision.errno = true, reply.errno
    decision.user = given(reply.user_msg) and reply.user_msg or reply.why
  end
  return decision
end

-- A user's update ----------------------------------------------------------------------------

--- Whether an update may let a job go that waits in the gate: its hold, its date or its dependency
-- changes. hetd's own updates change none of them.
function M.lets_go(change, job, cfg)
  local priority, begins = change.priority or NO_VAL, change.begin_time or 0
  local changes = (priority ~= NO_VAL and priority > 0) or (begins > 0 and begins < NO_VAL)
  return (changes or change.dependency ~= nil) and job.partition == cfg.intake
end

local MARK = "het1:"

--- The Features that the user wrote and those that we wrote, kept in what admission or a handover left
-- behind; nil if that is not told.
local function both_features(admin_comment)
  local _, last = (admin_comment or ""):find(".*" .. MARK)
  if not last then
    local ours, own = (admin_comment or ""):match("slurm%-het: .* %[Features=(.*), submitted with (.*)%]$")
    return own, ours
  end
  local mark = admin_comment:sub(last + 1)
  local original, wrote = mark:match('"orig":(%b{})'), mark:match('"w":(%b{})')
  -- Text with escapes is nothing that --constraint takes.
  if not original or original == "{}" or original:find("\\", 1, true) then return nil end
  return original:match('"features":"([^"]*)"') or "", wrote and (wrote:match('"features":"([^"]*)"') or "")
end

--- Whether a job's Features are its user's, of a later update: neither those that we wrote, if that is
-- told, nor those that it was given when it was moved before.
local function are_users(features, ours, pools)
  if not ours or not given(features) or features == ours:gsub(",", "&") then return false end
  for name in features:gmatch("[^|]+") do
    if not pools[name] then return true end
  end
  return false
end

--- What Features hold on all nodes of these pools: each node has its pool's name as a Feature.
local function of_pools(partitions, pools)
  local out = {}
  for name in entries(partitions) do
    if not pools[name] then return nil end
    out[#out + 1] = name
  end
  return table.concat(out, "|")
end

--- The assignments, a list of {field, value}, that undo our rewrite of a job that somebody else
-- moves to another partition; nil if there is nothing to undo.
-- Our Features keep a job to the pools that we chose: elsewhere it could never start, and Slurm
-- sets its priority to 0 (BadConstraints; 22.05, 24.11, 26.05). hetd's own updates name nodes or an
-- admin_comment, which users may not set. A hook cannot clear a field ('' means unchanged), so
-- where the user wrote no Features the pools' own are set, and hetd clears them where he leaves the
-- pools (`Strays.unbind`). A pin is hetd's to undo.
function M.unbind(change, job, uid, cfg)
  local own = uid ~= 0 and uid == job.user_id
  if not given(change.partition) or change.partition == job.partition then return nil end
  if change.partition == cfg.intake or given(change.features) then return nil end
  if not own and (change.req_nodes ~= nil or change.admin_comment ~= nil) then return nil end
  local features, ours = both_features(job.admin_comment)
  if are_users(job.features, ours, cfg.pools) then return nil end
  if features == "" then features = of_pools(change.partition, cfg.pools) end
  return features and { { "features", features } } or nil
end

-- Configuration -------------------------------------------------------------------------------

local DEFAULTS = { deadline_ms = 50, breaker_failures = 3, breaker_seconds = 10, max_script_bytes = 65536 }
local LIMITS = { deadline_ms = 2000, breaker_failures = 1000, breaker_seconds = 3600, max_script_bytes = 262144 }

local function to_set(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

--- The checked config with its defaults, or nil and what is wrong with it.
function M.config(raw)
  if type(raw) ~= "table" then return nil, "the config does not return a table" end
  local cfg = { socket = raw.socket, intake = raw.intake, on_failure = raw.on_failure or "intake" }
  cfg.event_socket = type(raw.event_socket) == "string" and raw.event_socket or nil
  for _, key in ipairs({ "socket", "intake" }) do
    if type(raw[key]) ~= "string" or raw[key] == "" then return nil, key .. " is not set" end
  end
  for _, key in ipairs({ "gres_names", "pools" }) do
    if type(raw[key]) ~= "table" then return nil, key .. " is not a list" end
    cfg[key] = to_set(raw[key])
  end
  if not ON_FAILURE[cfg.on_failure] then return nil, "on_failure is not intake, pass, hold or reject" end
  for key, limit in pairs(LIMITS) do
    local value = raw[key] == nil and DEFAULTS[key] or raw[key]
    if type(value) ~= "number" or not (value >= 1 and value <= limit) then
      return nil, key .. " is not between 1 and " .. limit
    end
    cfg[key] = value
  end
  return cfg
end

return M
