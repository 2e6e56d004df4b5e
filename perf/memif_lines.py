"""What stands between two memif ports in testpmd.py: two members, one, or a plain forwarder."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

KEY_SERVER, MEMBERS = "127.0.0.1", ("127.0.0.2", "127.0.0.3")
# What our tester sends, flowgen and txonly; a member takes either direction.
NETWORKS = (("10.0.0.0/8", "172.16.0.0/12"), ("10.254.0.0/16", "10.253.0.0/16"),
            ("198.18.0.0/15", "198.18.0.0/15"))
PATIENCE = 60  # seconds for what should happen at once


class Failed(Exception):
    """The run can't go on; the text says why."""


class Process:
    """A program in the background, its output in a file. `command` may change between starts."""

    def __init__(self, bench, name, command):
        self.bench, self.name, self.command_line = bench, name, command
        self.log = bench.folder / f"{name}.log"
        self.popen = None

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                list(map(str, self.command_line)), stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT)
        return self

    def raise_workers(self):
        """The threads that poll, before all that is not real-time; the kernel gives the others
        their twentieth."""
        if not self.bench.realtime:
            return
        for task in pathlib.Path(f"/proc/{self.popen.pid}/task").iterdir():
            if (task / "comm").read_text().startswith(("rte-worker", "wan.")):
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))

    def check_alive(self):
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-1500:]
            raise Failed(f"{self.name} ended with status {self.popen.returncode}: {tail}")

    def ask_to_end(self):
        self.popen.terminate()

    def died(self):
        return self.popen is not None and self.popen.poll() is not None

    def stop(self, kill=False):
        """Raises if it died, or dies, of anything but our asking."""
        if self.popen is None:
            return
        self.check_alive()
        if kill:
            self.popen.kill()
        else:
            self.ask_to_end()
        try:
            status = self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise Failed(f"{self.name} did not end when asked to") from None
        self.popen = None
        if status not in ((-signal.SIGKILL,) if kill else (0, -signal.SIGTERM)):
            raise Failed(f"{self.name} ended with status {status}")

    def abandon(self):
        """Ends it, however it is."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            self.popen = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.abandon()


def memif(name, role, path):
    return f"net_memif_{name},role={role},id=0,socket={path},socket-abstract=no,rsize=11,bsize=2048"


class Testpmd(Process):
    def __init__(self, bench, name, devices, mode, topology, cpu):
        self.prefix = f"{bench.folder.name}-{name}"
        self.ports = len(devices)
        pages = ["-m", "64", "--in-memory"] if bench.huge else ["--no-huge", "-m", "256"]
        # The main lcore sleeps while it waits for commands.
        command = ["dpdk-testpmd", "--lcores", f"0@{cpu},1@{cpu}", "--file-prefix", self.prefix,
                   "--no-pci", "--log-level=3", *pages]
        for device in devices:
            command += ["--vdev", device]
        command += ["--", "-i", "--no-lsc-interrupt", "--no-rmv-interrupt",
                    "--total-num-mbufs=16384", f"--forward-mode={mode}", "--burst=64",
                    f"--port-topology={topology}", "--txpkts=78"]
        super().__init__(bench, name, command)
        self.telemetry = None

    def start(self):
        super().start()
        self.telemetry = self.bench.await_(self._connect, f"telemetry of {self.name}")
        return self

    def _connect(self):
        self.check_alive()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(f"/var/run/dpdk/{self.prefix}/dpdk_telemetry.v2")
            connection.settimeout(10)
            connection.recv(4096)
            return connection
        except OSError:
            connection.close()
            return None

    def command(self, words):
        self.popen.stdin.write(f"{words}\n".encode())
        self.popen.stdin.flush()

    def totals(self):
        """Packets in and out of all ports, and when."""
        out = {"time": time.monotonic(), "ipackets": 0, "opackets": 0}
        for port in range(self.ports):
            self.telemetry.send(f"/ethdev/stats,{port}".encode())
            answer = json.loads(self.telemetry.recv(16384))["/ethdev/stats"]
            for key in ("ipackets", "opackets"):
                out[key] += answer[key]
        return out

    def await_traffic(self):
        """Until packets arrive, some more than stragglers."""
        since = self.totals()["ipackets"]

        def flows():
            self.check_alive()
            return self.totals()["ipackets"] > since + 10_000
        self.bench.await_(flows, f"traffic at {self.name}")

    def settle(self):
        """Until nothing arrives any more."""
        before = None
        while (now := self.totals()["ipackets"]) != before:
            before = now
            self.bench.pause(0.3)

    def __exit__(self, *_):
        """DPDK's memif driver unmaps what a thread may be polling when the far end goes, and
        dpdk-testpmd now and then dies of that: its figures are taken by then."""
        self.abandon()

    def abandon(self):
        if self.telemetry is not None:
            self.telemetry.close()
            self.telemetry = None
        super().abandon()

    def ask_to_end(self):
        self.command("quit")
        self.popen.stdin.close()

    def stop(self, kill=False):
        if self.telemetry is not None:
            self.telemetry.close()
            self.telemetry = None
        super().stop(kill)


class Daemon(Process):
    def __init__(self, bench, name, configuration):
        self.socket = bench.folder / f"{name}.sock"
        configuration |= {
            "hostname": name, "state_directory": str(bench.folder / name),
            "logging": {"level": "warning"}, "admin": {"socket": str(self.socket)},
            "pre_shared_keys": [{"peer": "127.0.0.0/8", "key": bench.secret}],
            "isakmp": {"policies": [{"authentication": "pre-share"}]}}
        self.file = bench.folder / f"{name}.json"
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(configuration))
        super().__init__(bench, name, [bench.build / "controlplane/daemon/cohortd", self.file])

    def start(self):
        super().start()
        self.bench.await_(lambda: self.ask("show version"), f"answer of {self.name}")
        return self

    def ask(self, command):
        """The answer of the operator's socket; nothing before it is there."""
        self.check_alive()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(str(self.socket))
                connection.sendall(json.dumps({"command": command, "arguments": {}}).encode() +
                                   b"\n")
                with connection.makefile(encoding="utf-8") as lines:
                    answer = json.loads(lines.readline())
        except OSError:
            return None
        if not answer["ok"]:
            raise Failed(f"{self.name}: {command}: {answer['error']}")
        return answer["data"]


class Member(Daemon):
    def __init__(self, bench, number, inside, outside, cpu):
        super().__init__(bench, f"gm{number + 1}", {
            "group_member": {
                "address": MEMBERS[number],
                "groups": [{"name": "bench", "identity": 1, "servers": [KEY_SERVER],
                            "port_pair": "wan", "retry_initial": "1s"}]},
            "dataplane": {
                "hugepages": bench.huge, "memory_mb": 96,
                "file_prefix": f"{bench.folder.name}-gm{number}",
                "port_pairs": {"wan": {"inside": inside, "outside": outside, "cpus": [cpu],
                                       "ring_size": 2048}}}})

    def registered(self):
        groups = self.ask("show crypto gkm group")
        return bool(groups) and groups[0]["registration"]["registered"]


class Bench:
    """Where everything runs, and the key server."""

    def __init__(self, build, folder, huge, options):
        self.build, self.folder, self.huge, self.suite = build, folder, huge, options.suite
        self.realtime = options.realtime
        self.secret = os.urandom(16).hex()
        cpus = sorted(os.sched_getaffinity(0))
        self.tester_cpu = cpus[0]
        # The control threads go where there is room.
        self.line_cpus = (cpus[-1], cpus[-2]) if len(cpus) >= 4 else (cpus[-1], cpus[-1])
        self.key_server = Daemon(self, "ks", self._key_server())

    def _key_server(self):
        entries = [f"permit ip {a} {b}" for pair in NETWORKS
                   for a, b in ((pair, pair[::-1]) if pair[0] != pair[1] else (pair,))]
        return {
            "keys": {"sign": {"type": "rsa", "modulus": 2048}},
            "access_lists": {"traffic": entries},
            "profiles": {"bench": {"transform": self.suite, "lifetime": "2h"}},
            "key_server": {
                "address": KEY_SERVER,
                "groups": [{
                    "name": "bench", "identity": 1, "rekey": {"signing_key": "sign"},
                    "sas": [{"access_list": "traffic", "profile": "bench"}],
                    "authorization": [{"address": "127.0.0.0/8"}]}]}}

    def __enter__(self):
        self.key_server.start()
        return self

    def __exit__(self, *what):
        self.key_server.__exit__(*what)

    @staticmethod
    def pause(seconds):
        time.sleep(seconds)

    def await_(self, condition, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if (value := condition()):
                return value
            self.pause(0.05)
        raise Failed(f"waited {PATIENCE} s for {what}")


class Line:
    """Two inside ports, to which client(0) and client(1) connect."""
    name, echo = "", False

    def __init__(self, bench):
        self.bench = bench
        self.processes = []

    def path(self, link):
        return self.bench.folder / f"{link}.memif"

    def server(self, link):
        """A socket file that a server left behind would be in the next one's way."""
        self.path(link).unlink(missing_ok=True)
        return memif(link, "server", self.path(link))

    def client(self, end):
        return memif(f"c{end}", "client", self.path(("in0", "in1")[end]))

    def check_alive(self):
        for process in self.processes:
            process.check_alive()

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *what):
        for process in reversed(self.processes):
            process.__exit__(*what)


class Plain(Line):
    """One forwarder between the two ports."""
    name = "io"

    def __init__(self, bench):
        super().__init__(bench)
        self.processes = [Testpmd(bench, "io", [self.server("in0"), self.server("in1")], "io",
                                  "paired", bench.line_cpus[0])]

    def __enter__(self):
        super().__enter__()
        self.processes[0].command("start")
        self.processes[0].raise_workers()
        return self


class PlainLoop(Plain):
    """The tester sends back what has passed it once."""
    name, echo = "io, loop", True


class Pair(Line):
    name = "members"

    def __init__(self, bench):
        super().__init__(bench)
        ends = [(self.server("in0"), self.server("mid")),
                (self.server("in1"), memif("m", "client", self.path("mid")))]
        self.members = [Member(bench, i, *ends[i], bench.line_cpus[i]) for i in range(2)]
        self.processes = self.members

    def __enter__(self):
        for member in self.members:
            self.start_member(member)
        return self

    def start_member(self, member):
        member.start()
        self.bench.await_(member.registered, f"registration of {member.name}")
        member.raise_workers()


    def restart_second(self, kill):
        """The other one serves the link between them, and lives on."""
        member = self.members[1]
        member.stop(kill)
        self.path("in1").unlink(missing_ok=True)
        self.start_member(member)


class Loop(Pair):
    """One member; the tester sends its encrypted packets back to it."""
    name, echo = "member, loop", True

    def __init__(self, bench):
        Line.__init__(self, bench)
        self.members = [Member(bench, 0, self.server("in0"), self.server("in1"),
                               bench.line_cpus[0])]
        self.processes = self.members
