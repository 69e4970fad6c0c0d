--- Slurm's cli_filter of slurm-het, optional: a GRES name that users write for their vendor's devices
-- (npu) is what the cluster registers (gpu) also where a job starts its steps:
-- `srun --gres=npu:1` within a job of `--gres=npu:2`. The job itself is job_submit.lua's.
-- Install it beside slurm.conf wherever srun runs, with CliFilterPlugins=lua in slurm.conf and
-- `slurm-het hook-config --aliases > het_gres_aliases.lua` beside it. A site with a cli_filter.lua of
-- its own calls `require("het_gres_steps")(options)` in its slurm_cli_pre_submit instead.

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local loaded, rename = pcall(require, "het_gres_steps")

function slurm_cli_setup_defaults() return slurm.SUCCESS end

--- Called by sbatch, salloc and srun before they send anything.
function slurm_cli_pre_submit(options)
  -- A fault of ours must never keep anybody from running srun.
  if loaded then pcall(rename, options) end
  return slurm.SUCCESS
end

function slurm_cli_post_submit() return slurm.SUCCESS end
