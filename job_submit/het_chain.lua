--- Puts slurm-het behind a site's own job_submit.lua, which has as its last line before `return`:
--   dofile("/etc/slurm/slurm-het/het_chain.lua")
-- The site's functions are called first. What they refuse is refused; what they changed, we see.
-- An update of hetd's, which runs as SlurmUser like slurmctld, does not pass the site's function: a
-- site that lets only root change jobs would otherwise have all wait for ever.

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local site_submit, site_modify = slurm_job_submit, slurm_job_modify
dofile(here .. "/job_submit.lua")
local het_submit, het_modify = slurm_job_submit, slurm_job_modify

local function given(text)
  return text ~= nil and text ~= ""
end

--- The uid of slurmctld, and so of hetd; nil if it cannot be told.
local function own_uid()
  local file = io.open("/proc/self/status")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return tonumber(text:match("\nUid:%s+%d+%s+(%d+)"))
end

local function intake()
  local ok, config = pcall(dofile, here .. "/het_hook_config.lua")
  return ok and type(config) == "table" and config.intake or nil
end

local HETD, INTAKE = own_uid(), intake()

local function lists_intake(partitions)
  for name in (partitions or ""):gmatch("[^,]+") do
    if name == INTAKE then return true end
  end
  return false
end

local function refused(code)
  return code ~= nil and code ~= slurm.SUCCESS
end

function slurm_job_submit(job, part_list, uid)
  local asked = job.partition
  local code = site_submit and site_submit(job, part_list, uid)
  if refused(code) then return code end
  local chosen = job.partition
  -- A site that lists all partitions that the user may use has chosen none of them.
  local no_choice = not given(asked) and chosen ~= INTAKE and lists_intake(chosen)
  if no_choice then job.partition = "" end
  code = het_submit(job, part_list, uid)
  if no_choice and not given(job.partition) then job.partition = chosen end
  return code
end

function slurm_job_modify(change, job, part_list, uid)
  local code = site_modify and uid ~= HETD and site_modify(change, job, part_list, uid) or nil
  if refused(code) then return code end
  return het_modify(change, job, part_list, uid)
end
