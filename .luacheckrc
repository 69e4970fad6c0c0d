-- slurmctld's interpreter is Lua 5.1 in Debian; sites build against 5.1 to 5.4.
std = "min"
max_line_length = 120
files["job_submit/cli_filter.lua"] = {
  read_globals = { "slurm" },  -- set by sbatch, salloc and srun
  globals = { "slurm_cli_setup_defaults", "slurm_cli_pre_submit", "slurm_cli_post_submit" },
}
for _, name in ipairs({ "job_submit", "het_chain" }) do
  files["job_submit/" .. name .. ".lua"] = {
    read_globals = { "slurm" },                            -- set by slurmctld before the script runs
    globals = { "slurm_job_submit", "slurm_job_modify" },  -- the entry points it calls
  }
end
