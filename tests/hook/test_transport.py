"""The hook's transport, in the real lua5.1 with LuaSocket, against peers that behave badly."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm_het.resources import data_dir

HOOK = data_dir("job_submit")
LUA = shutil.which("lua5.1") or ""
DEADLINE_MS = 100
AMPLE_MS = 2000  # where something else than the deadline is to be seen
SLACK_MS = 60  # a busy two-core machine schedules late; a missed deadline would be far beyond
REPLY = b"action=pass&why=ok"

# arg: socket path, deadline, bytes of the request, number of calls, seconds between them, and
# whether its clock is one that nothing moves but these; and by whom each call is, a letter each.
DRIVER = """
package.path = "%s/?.lua;" .. package.path
local transport = require("het_transport")
local lib = assert(transport.load_socket())
local cfg = {socket = arg[1], deadline_ms = tonumber(arg[2])}
cfg.breaker_failures, cfg.breaker_seconds = 3, 0.3
local pause = require("socket").sleep
if arg[6] == "still" then
  local time = 0
  lib.now = function() return time end
  pause = function(seconds) time = time + seconds end
end
local call = transport.client(cfg, lib)
local made = 0
for i = 1, tonumber(arg[4]) do
  local start = lib.now()
  local reply, err = call(function()
    made = made + 1
    return string.rep("x", tonumber(arg[3]))
  end, arg[7] and arg[7]:sub(i, i))
  local ms = (lib.now() - start) * 1000
  print(string.format("%%.3f\\t%%s\\t%%s\\t%%d", ms, reply or "", err or "", made))
  pause(tonumber(arg[5]))
end
"""


def _missing() -> str:
    if not LUA:
        return "lua5.1 is not installed"
    probe = [LUA, "-e", "require('socket.unix')"]
    return "" if subprocess.run(probe, capture_output=True).returncode == 0 else "no LuaSocket"


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing())

Peer = Callable[[socket.socket], None]


@dataclass
class Call:
    """One call of the driver: milliseconds it took, reply, error, how many bodies were made."""

    ms: float
    reply: str
    error: str
    made: int


@dataclass
class Bench:
    """A socket path, and the means to serve and to call it."""

    path: Path
    driver: Path
    stop: contextlib.ExitStack
    connections: int = 0

    def listen(self, backlog: int = 8) -> socket.socket:
        listener = self.stop.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.path))
        listener.listen(backlog)
        return listener

    def serve(self, peer: Peer) -> None:
        """Let `peer` handle each connection, in a thread, until the test ends."""
        listener = self.listen()

        def loop() -> None:
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = listener.accept()
                    self.connections += 1
                    with conn, contextlib.suppress(OSError):
                        conn.settimeout(2)
                        peer(conn)

        threading.Thread(target=loop, daemon=True).start()
        self.stop.callback(lambda: listener.shutdown(socket.SHUT_RDWR))

    def call(
        self, size: int = 100, calls: int = 1, pause: float = 0,
        deadline_ms: int = AMPLE_MS, clock: str = "", users: str = "",
    ) -> list[Call]:  # fmt: skip
        args = [LUA, str(self.driver), str(self.path), str(deadline_ms)]
        args += [str(size), str(calls), str(pause), clock, *filter(None, [users])]
        out = subprocess.run(args, capture_output=True, text=True, timeout=120, check=True).stdout
        rows = [line.split("\t") for line in out.splitlines()]
        return [Call(float(ms), reply, error, int(made)) for ms, reply, error, made in rows]

    def fails(self, error: str, size: int = 100, deadline_ms: int = AMPLE_MS) -> None:
        """A call must fail with that error: at once, or by the deadline if that is the error."""
        limit = DEADLINE_MS + SLACK_MS
        for _ in range(4):  # a machine that stalls is no deadline missed
            (call,) = self.call(size, deadline_ms=deadline_ms)
            assert call.reply == ""
            assert error in call.error
            if call.ms <= limit:
                return
        pytest.fail(f"it took {call.ms} ms")

    def times_out(self, size: int = 100) -> None:
        """A call must end with its deadline."""
        self.fails(f"timeout after {DEADLINE_MS} ms", size, DEADLINE_MS)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    driver = tmp_path / "driver.lua"
    driver.write_text(DRIVER % HOOK)
    with contextlib.ExitStack() as stop:
        yield Bench(tmp_path / "s", driver, stop)


def read_request(conn: socket.socket) -> bytes:
    stream = conn.makefile("rb")
    return stream.read(int(stream.read(8), 16))


def frame(body: bytes) -> bytes:
    return b"%08x" % len(body) + body


def answer(conn: socket.socket) -> None:
    read_request(conn)
    conn.sendall(frame(REPLY))


def wait(_conn: socket.socket) -> None:
    time.sleep(2 * DEADLINE_MS / 1000)


def drip(conn: socket.socket) -> None:
    for byte in frame(REPLY):
        conn.sendall(bytes([byte]))
        time.sleep(0.02)


def send(data: bytes) -> Peer:
    def peer(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(data)

    return peer


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_healthy_daemon_is_heard(bench: Bench, size: int) -> None:
    bench.serve(answer)
    (call,) = bench.call(size)
    assert (call.reply, call.error) == (REPLY.decode(), "")


def test_the_largest_reply_is_taken(bench: Bench) -> None:
    bench.serve(send(frame(b"x" * 16384)))
    (call,) = bench.call()
    assert len(call.reply) == 16384


def test_no_socket_fails_at_once(bench: Bench) -> None:
    bench.fails("No such file or directory")


def test_a_path_too_long_for_a_socket_fails(bench: Bench) -> None:
    bench.path = bench.path.with_name("s" * 200)
    bench.fails("path too long")


def test_a_dead_daemons_socket_fails_at_once(bench: Bench) -> None:
    bench.listen().close()
    bench.fails("connection refused")


def test_a_listener_that_never_accepts(bench: Bench) -> None:
    bench.listen()
    bench.times_out()


def test_a_listener_whose_backlog_is_full(bench: Bench) -> None:
    bench.listen(backlog=0)
    for _ in range(3):
        client = bench.stop.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(str(bench.path))
    bench.fails("", deadline_ms=DEADLINE_MS)


@pytest.mark.parametrize(
    ("peer", "error"),
    [
        (wait, "timeout"),
        (drip, "timeout"),
        (send(b"HTTP/1.1 400 Bad Request\r\n"), "garbage"),
        (send(b"ffffffff"), "4294967295 bytes"),
        (send(b"00004001" + b"x" * 16385), "16385 bytes"),
        (send(b"00000000"), "0 bytes"),
        (send(b""), "closed"),
        (send(b"0000"), "closed"),
        (send(frame(REPLY)[:-1]), "closed"),
        (lambda conn: conn.close(), ""),
    ],
    ids=["mute", "drip", "garbage", "huge", "large", "empty", "closed", "half-header", "cut",
         "slammed"],
)  # fmt: skip
def test_bad_peers_cost_no_more_than_the_deadline(bench: Bench, peer: Peer, error: str) -> None:
    bench.serve(peer)
    if error == "timeout":
        bench.times_out()
    else:
        bench.fails(error)


@pytest.mark.parametrize("size", [70_000, 1_000_000])
def test_a_peer_that_does_not_read_a_script(bench: Bench, size: int) -> None:
    bench.serve(wait)
    bench.times_out(size)


def test_the_breaker_stops_asking_and_tries_again(bench: Bench) -> None:
    bench.serve(wait)
    calls = bench.call(calls=8, deadline_ms=DEADLINE_MS)
    assert ["timeout" in c.error for c in calls] == [True] * 3 + [False] * 5
    assert all("not asked" in c.error and c.ms < DEADLINE_MS / 2 for c in calls[3:])
    assert [c.made for c in calls[2:]] == [3] * 6, "no body is made for nothing"
    assert bench.connections <= 3


def test_the_breaker_closes_when_the_daemon_is_back(bench: Bench) -> None:
    turns = itertools.count()
    bench.serve(lambda conn: answer(conn) if next(turns) >= 3 else None)
    calls = bench.call(calls=10, pause=0.1, clock="still")
    assert [bool(c.reply) for c in calls[:4]] == [False] * 4
    assert "not asked" in calls[3].error
    assert all(c.reply for c in calls[-3:])


def test_the_breaker_needs_failures_in_a_row(bench: Bench) -> None:
    turns = iter([b"", b"", REPLY] * 4)
    bench.serve(lambda conn: send(frame(body) if (body := next(turns)) else b"")(conn))
    calls = bench.call(calls=9)
    assert [bool(c.reply) for c in calls] == [False, False, True] * 3


def test_one_user_whose_scripts_take_long_opens_no_breaker_for_others(bench: Bench) -> None:
    turns = iter("fff.f.f.")  # of those who are asked
    bench.serve(lambda conn: send(frame(REPLY) if next(turns, ".") == "." else b"")(conn))
    calls = bench.call(calls=10, users="aaaabaabab", clock="still")
    assert [bool(c.reply) for c in calls[:5]] == [False] * 4 + [True]
    assert "not asked" in calls[3].error
    assert ["not asked" in c.error for c in calls[5:]] == [True, True, False, True, False]


def test_a_daemon_that_fails_several_users_is_not_asked_for_any(bench: Bench) -> None:
    bench.serve(lambda conn: send(b"")(conn))
    calls = bench.call(calls=6, users="abcdef", clock="still")
    assert ["not asked" in c.error for c in calls] == [False] * 3 + [True] * 3
    assert bench.connections == 3


def test_a_reply_is_kept_for_as_long_as_it_says(bench: Bench) -> None:
    bench.serve(send(frame(b"keep_ms=400&" + REPLY)))
    calls = bench.call(calls=9, pause=0.1, clock="still")
    assert all(c.reply.endswith(REPLY.decode()) for c in calls)
    assert 2 <= bench.connections <= 4, "asked anew when it is 400 ms old"


@pytest.mark.parametrize(
    "said", [b"", b"keep_ms=-1&", b"keep_ms=1000&", b"keep_ms=&", b"xkeep_ms=9&"]
)
def test_other_replies_are_not_kept(bench: Bench, said: bytes) -> None:
    bench.serve(send(frame(said + REPLY)))
    bench.call(calls=3, clock="still")
    assert bench.connections == 3


def test_what_is_kept_is_bounded(bench: Bench) -> None:
    """Requests of 16 KiB, and the last 16 of them."""
    bench.serve(send(frame(b"keep_ms=900&" + REPLY)))
    bench.call(size=16385, calls=2, clock="still")
    assert bench.connections == 2
    bench.driver.write_text(bench.driver.read_text().replace("tonumber(arg[3])", "made % 17 + 1"))
    bench.call(calls=34, clock="still")
    assert bench.connections == 2 + 34
    bench.driver.write_text(bench.driver.read_text().replace("made % 17", "made % 16"))
    bench.call(calls=34, clock="still")
    assert bench.connections == 2 + 34 + 16


# The end-of-job event


def run_event(directory: Path, config: str, job_id: str | None) -> float:
    """Run het_event.lua as slurmctld does; the seconds it took."""
    shutil.copy(HOOK / "het_event.lua", directory)
    (directory / "het_hook_config.lua").write_text(config)
    env = {**os.environ, **({"SLURM_JOB_ID": job_id} if job_id else {})}
    start = time.monotonic()
    done = subprocess.run([LUA, str(directory / "het_event.lua")], env=env, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return time.monotonic() - start


def test_the_end_of_a_job_is_told(bench: Bench, tmp_path: Path) -> None:
    listener = bench.stop.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    listener.bind(str(bench.path))
    listener.settimeout(5)
    run_event(tmp_path, f"return {{event_socket = '{bench.path}'}}", "4711")
    assert listener.recv(100) == b"end 4711"


@pytest.mark.parametrize("config", ["return {}", "syntax error", "return {event_socket = '/no/x'}"])
@pytest.mark.parametrize("job_id", [None, "12", "1; rm"])
def test_an_event_nobody_hears_does_no_harm(
    tmp_path: Path, config: str, job_id: str | None
) -> None:
    assert run_event(tmp_path, config, job_id) < 30


def test_a_full_event_socket_is_not_waited_for(bench: Bench, tmp_path: Path) -> None:
    listener = bench.stop.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    listener.bind(str(bench.path))
    client = bench.stop.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.sendto(b"end 1", str(bench.path))
    assert run_event(tmp_path, f"return {{event_socket = '{bench.path}'}}", "4711") < 30


TELLER = """
package.path = "%s/?.lua;" .. package.path
local transport = require("het_transport")
local lib = assert(transport.load_socket())
local tell, start = transport.teller(%s, lib), lib.now()
for _ = 1, 1000 do tell() end
print(lib.now() - start)
"""


def told(path: str) -> float:
    """The seconds that a thousand events of the hook take."""
    code = TELLER % (HOOK, path)
    return float(subprocess.run([LUA, "-e", code], capture_output=True, check=True).stdout)


def test_an_update_is_told_and_nobody_waits_for_that(bench: Bench) -> None:
    path = f'"{bench.path}"'
    assert told("nil") < 1
    assert told(path) < 1, "there is nobody"
    listener = bench.stop.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    listener.bind(str(bench.path))
    assert told(path) < 1, "nobody reads it, so it is full"
    assert listener.recv(100) == b"update"


def test_a_lua_without_a_luasocket_of_its_version_is_named() -> None:
    """Slurm may be built with another Lua than the one that LuaSocket was installed for."""
    code = f"""package.path, package.cpath = "{HOOK}/?.lua", ""
    print(select(2, require("het_transport").load_socket()))"""
    done = subprocess.run([LUA, "-e", code], capture_output=True, text=True)
    assert done.stdout.startswith("this Slurm has Lua 5.1, and no LuaSocket for that is installed:")
