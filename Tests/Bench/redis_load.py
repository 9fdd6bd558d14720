# SPDX-License-Identifier: Apache-2.0
"""The redis workload: a server on a free port of 127.0.0.1, and what talks to it. Only the server is measured."""
import socket
import subprocess
import time

from measure import RunFailed, clean_environment

REQUESTS = 150_000  # of each command, at scale 1
COMMANDS = "set,get,lpush,lpop,sadd,hset,zadd"
# redis-benchmark seeds itself from the clock, so the check is a script of our own: same data, same digest.
SCRIPT = """
redis.call('FLUSHALL')
local digest = ''
for i = 1, 20000 do
    redis.call('SET', 'key' .. i, string.rep('x', i % 100) .. i)
    redis.call('RPUSH', 'list' .. (i % 50), 'entry' .. i)
    if i % 500 == 0 then
        digest = redis.sha1hex(digest .. redis.call('GET', 'key' .. i) .. redis.call('LLEN', 'list' .. (i % 50)))
    end
end
return digest .. ' ' .. redis.call('DBSIZE')
"""


class RedisLoad:
    def __init__(self):
        self.port = 0

    def command(self, _, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--daemonize", "no", "--dir", directory, "--logfile", "/dev/null"]

    def drive(self, scale, timeout):
        """Loads the server, asks for the digest, shuts it down. Wall time is that of the load alone."""
        until = time.monotonic() + timeout
        self.wait_until_it_answers(min(until, time.monotonic() + 30))
        start = time.monotonic()
        requests = str(max(1000, int(REQUESTS * scale)))
        self.client(["redis-benchmark", "-h", "127.0.0.1", "-p", str(self.port), "-q", "-n", requests, "-c", "20",
                     "-P", "16", "-r", "100000", "-d", "64", "-t", COMMANDS], until)
        answer = self.client(["redis-cli", "-p", str(self.port), "EVAL", SCRIPT, "0"], until).strip()
        wall = time.monotonic() - start
        self.client(["redis-cli", "-p", str(self.port), "SHUTDOWN", "NOSAVE"], until)
        return {"answer": answer, "wall": wall}

    def wait_until_it_answers(self, until):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.settimeout(5)
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            if time.monotonic() > until:
                raise RunFailed("redis-server does not answer")
            time.sleep(0.005)

    def client(self, command, until):
        try:
            done = subprocess.run(command, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=max(1, until - time.monotonic()), check=False)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{command[0]} does not end") from None
        if done.returncode != 0 or "ERR" in done.stdout or "Error" in done.stdout:
            raise RunFailed(f"{command[0]}: {ascii((done.stderr or done.stdout).strip()[-200:])}")
        return done.stdout
