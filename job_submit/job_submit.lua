--- Slurm's job-submit hook of slurm-het: asks hetd about accelerator jobs, and rewrites them.
-- Install it beside het_protocol.lua, het_transport.lua and het_hook_config.lua; slurmctld reads
-- them again when this file's mtime grows (touch it after a change to any of them).
-- A site with a job_submit.lua of its own has het_chain.lua put this one behind it.

local RETRY_SECONDS = 10

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local hook, retry_at = nil, 0

local function log(text)
  -- The argument is a format to Slurm, and the text holds what users wrote.
  slurm.log_info("%s", "slurm-het: " .. text)
end

local function load_hook()
  local protocol = require("het_protocol")
  local transport = require("het_transport")
  local cfg, err = protocol.config(dofile(here .. "/het_hook_config.lua"))
  if not cfg then error(err, 0) end
  local lib
  lib, err = transport.load_socket()
  if not lib then error(err, 0) end
  -- Only Slurms that spell it gres/ register their whole error table; used if the job shows neither.
  cfg.fallback_prefix = slurm.ESLURM_INVALID_GRES and "gres/" or "gres:"
  local tell = transport.teller(cfg.event_socket, lib)
  return { cfg = cfg, protocol = protocol, now = lib.now, call = transport.client(cfg, lib), tell = tell }
end

--- The loaded hook, or nil while something is missing; tried again from time to time.
local function ready()
  if hook == nil and os.time() >= retry_at then
    local ok, result = pcall(load_hook)
    if ok then
      hook = result
    else
      retry_at = os.time() + RETRY_SECONDS
      slurm.log_error("%s", "slurm-het: hook not active, all jobs pass: " .. tostring(result):sub(1, 500))
    end
  end
  return hook
end

--- Assign all of `set` or nothing: undone if Slurm refuses one of them.
local function apply(job, set)
  local undo = {}
  for i, pair in ipairs(set) do
    undo[i] = { pair[1], job[pair[1]] }
    local ok, err = pcall(function() job[pair[1]] = pair[2] end)
    if not ok then
      for _, old in ipairs(undo) do
        -- Slurm takes '' for "unset"; nil would raise.
        pcall(function() job[old[1]] = old[2] == nil and "" or old[2] end)
      end
      return false, err
    end
  end
  return true
end

local function report(decision, uid, micros)
  local text = string.format("%s uid=%.0f", decision.verb, uid)
  if decision.asked then text = text .. string.format(" us=%.0f", micros) end
  log(hook.protocol.clean(text .. decision.text))
  for line in (decision.user or ""):sub(1, 2000):gmatch("[^\n]+") do
    slurm.log_user("%s", "slurm-het: " .. hook.protocol.clean(line))
  end
end

local function submit(job, part_list, uid)
  if not ready() then return slurm.SUCCESS end
  local protocol, cfg, started = hook.protocol, hook.cfg, hook.now()
  local ok, decision = pcall(protocol.decide, job, part_list, uid, cfg, hook.call)
  if not ok then decision = protocol.failed(job, part_list, cfg, "internal error: " .. tostring(decision)) end
  if not decision then return slurm.SUCCESS end
  local applied, err = apply(job, decision.set)
  if not applied then
    decision = protocol.failed(job, part_list, cfg, "Slurm refused a field: " .. tostring(err))
    apply(job, decision.set)
  end
  report(decision, uid, (hook.now() - started) * 1e6)
  return decision.reject and (decision.errno or slurm.ERROR) or slurm.SUCCESS
end

--- Called by slurmctld for each submission.
function slurm_job_submit(job_desc, part_list, submit_uid)
  local ok, result = pcall(submit, job_desc, part_list, submit_uid)
  if ok then return result end
  pcall(log, "internal error, job left as it is: " .. tostring(result):sub(1, 300))
  return slurm.SUCCESS
end

local function modify(change, job, uid)
  if not ready() then return end
  if hook.protocol.lets_go(change, job, hook.cfg) then hook.tell() end
  local set = hook.protocol.unbind(change, job, uid, hook.cfg)
  if not set then return end
  local applied, err = apply(change, set)
  local outcome = applied and "as its user wrote it" or ("not restored: " .. tostring(err))
  log(hook.protocol.clean(string.format("moved job=%.0f -> %s: %s", job.job_id, change.partition, outcome)))
end

--- Called by slurmctld for each update, hetd's own included: nothing is ever held up here.
function slurm_job_modify(change, job, _, modify_uid)
  local ok, err = pcall(modify, change, job, modify_uid)
  if not ok then pcall(log, "internal error, update left as it is: " .. tostring(err):sub(1, 300)) end
  return slurm.SUCCESS
end

-- Load now, so that a mistake shows in the log at start, not at the first job.
pcall(ready)

return slurm.SUCCESS
