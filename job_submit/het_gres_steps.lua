--- Renames the GRES of a job's step to what the cluster registers; for cli_filter.lua.

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local aliases = dofile(here .. "/het_gres_aliases.lua")
local MAX_OPTION = 4096

--- A GRES list with registered names: npu:1 is gpu:1, gres:npu:1 is gres:gpu:1.
local function registered(text)
  local out = {}
  for item in text:gmatch("[^,]+") do
    local prefix, name, rest = item:match("^(gres[:/])([^:=]+)(.*)$")
    if not name then prefix, name, rest = "", item:match("^([^:=]+)(.*)$") end
    out[#out + 1] = name and (prefix .. (aliases[name] or name) .. rest) or item
  end
  return table.concat(out, ",")
end

return function(options)
  if not os.getenv("SLURM_JOB_ID") then return end  -- no step: a submission
  for _, option in ipairs({ "gres", "tres-per-task" }) do
    local text = options[option]
    if type(text) == "string" and #text <= MAX_OPTION then
      local new = registered(text)
      if new ~= text then options[option] = new end
    end
  end
end
