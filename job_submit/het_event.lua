#!/usr/bin/lua5.1
--- EpilogSlurmctld: tells hetd that a job ended, so that it plans at once.
-- One datagram `end <job id>` to the unix socket `event_socket` of het_hook_config.lua, which lies
-- beside this file. Never waits and always succeeds: a missed event only costs one polling period.

local function send_event()
  local job_id = (os.getenv("SLURM_JOB_ID") or ""):match("^%d+$")
  local here = arg[0]:match("^(.*)/[^/]*$") or "."
  local config = dofile(here .. "/het_hook_config.lua")
  if not job_id or type(config.event_socket) ~= "string" then return end
  local sock = require("socket.unix").dgram()
  sock:settimeout(0)
  sock:sendto("end " .. job_id, config.event_socket)
  sock:close()
end

pcall(send_event)
os.exit(0)
