"""Network namespaces with the processes that live in them, and their removal whatever happens."""

import atexit
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

STATE_ROOT, MEMORY_ROOT = pathlib.Path("/tmp"), pathlib.Path("/dev/shm")
_PR_SET_PDEATHSIG = 1


class LabError(Exception):
    """Something of the lab did not do what it should; the text is for the person who ran it."""


def become_root():
    """Namespaces need root: runs the program again by sudo if we are not."""
    if os.geteuid() != 0:
        os.execvp("sudo", ["sudo", "-n", "--", sys.executable, *sys.argv])


def wait_for(condition, seconds, what):
    """Polls until condition() is true and returns its value; a LabError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"no {what} within {seconds} seconds")
        time.sleep(0.05)


def _run(argv, **options):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)


class Process:
    """A program in a namespace; what it writes goes to a file of the lab."""

    def __init__(self, node, label, argv, log, dies_with_us):
        self.node = node
        self.label = label
        self.argv = argv
        self.log = log
        libc = ctypes.CDLL(None)

        def in_child():  # without this, our own sudden death would leave it running
            if dies_with_us:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(log, "xb") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True, preexec_fn=in_child)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def output(self):
        return pathlib.Path(self.log).read_text(encoding="utf-8", errors="replace")

    def stop(self, seconds=10):
        """Asks it to end, and after so many seconds insists. Returns its exit status."""
        if self.running():
            self.popen.terminate()
            self.popen.send_signal(signal.SIGCONT)  # a paused one would not hear it
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.argv} did not end within {seconds} seconds") from None


class Node:
    """One namespace: a host, a router or a machine with a daemon."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.namespace = f"{lab.name}-{name}"
        self.folder = lab.folder / name
        self.folder.mkdir()
        self.memory = MEMORY_ROOT / lab.name / name  # gone when the machine starts anew
        lab.command("ip", "netns", "add", self.namespace)
        self.ip("link set lo up")
        # Our links have no second owner of an address: use them at once.
        self.sysctl(net__ipv6__conf__all__accept_dad=0, net__ipv6__conf__default__accept_dad=0)

    def ip(self, *lines):
        """Lines for `ip -batch`, such as "addr add 10.0.0.1/24 dev eth0"."""
        text = "".join(line + "\n" for line in lines)
        done = subprocess.run(["ip", "-n", self.namespace, "-batch", "-"], input=text, text=True,
                              capture_output=True)
        if done.returncode:
            raise LabError(f"{self.name}: ip: {done.stderr.strip()} in\n{text}")

    def sysctl(self, **values):
        """Keys with '__' for '/': net__ipv4__ip_forward=1."""
        script = "; ".join(f"echo {value} > /proc/sys/{key.replace('__', '/')}"
                           for key, value in values.items())
        self.run("sh", "-ec", script)

    def _inside(self, argv):
        return ["ip", "netns", "exec", self.namespace, *map(str, argv)]

    def attempt(self, *argv, seconds=60):
        """Runs a command to its end; returns what subprocess.run does."""
        return _run(self._inside(argv), timeout=seconds)

    def run(self, *argv, seconds=60):
        """As attempt, but a failure is a LabError. Returns what it printed."""
        done = self.attempt(*argv, seconds=seconds)
        if done.returncode:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))} ended with {done.returncode}: "
                           f"{(done.stderr or done.stdout).strip()}")
        return done.stdout

    def start(self, label, *argv):
        number = len(self.lab.processes) + 1  # a log of its own for each start
        log = self.folder / f"{label}-{number}.log"
        process = Process(self, label, self._inside(argv), log, not self.lab.keep)
        self.lab.processes.append(process)
        return process


class Lab:
    """Use as a context manager: whatever happened inside, nothing of it stays. With `keep` it stays
    if all went well, its processes included."""

    def __init__(self, name=None, keep=False):
        self.name = name or f"cohort-{os.getpid()}"
        self.keep = keep
        self.folder = STATE_ROOT / self.name
        self.nodes = {}
        self.processes = []

    def __enter__(self):
        remove_stale()
        remove(self.name)
        self.folder.mkdir(mode=0o700)
        atexit.register(self.close)
        # A closed terminal and a polite kill end us as Ctrl-C does: through the clean-up.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(130))
        return self

    def __exit__(self, error, *_):
        if self.keep and error is None:
            atexit.unregister(self.close)
        else:
            self.close()

    def close(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # one interruption is enough
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.processes):
            if process.running():
                process.popen.terminate()
                process.popen.send_signal(signal.SIGCONT)  # a paused one would not hear it
        for process in reversed(self.processes):
            process.stop(5)
        self.processes.clear()
        remove(self.name)
        atexit.unregister(self.close)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def command(self, *argv):
        done = _run(argv)
        if done.returncode:
            raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def node(self, name):
        self.nodes[name] = Node(self, name)
        return self.nodes[name]

    def link(self, one, one_interface, other, other_interface):
        """A cable between two nodes, up at both ends."""
        self.command("ip", "link", "add", one_interface, "netns", one.namespace, "type", "veth",
                     "peer", "name", other_interface, "netns", other.namespace)
        one.ip(f"link set {one_interface} up")
        other.ip(f"link set {other_interface} up")


def _namespaces():
    listed = json.loads(_run(["ip", "-j", "netns", "list"]).stdout or "[]")
    return [entry["name"] for entry in listed]


def remove(name):
    """Ends the processes of a lab, then removes its namespaces and its folder."""
    ours = [namespace for namespace in _namespaces() if namespace.startswith(name + "-")]
    for namespace in ours:
        for pid in _run(["ip", "netns", "pids", namespace]).stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
    for namespace in ours:
        _run(["ip", "netns", "del", namespace])
    for root in (STATE_ROOT, MEMORY_ROOT):
        shutil.rmtree(root / name, ignore_errors=True)
    return bool(ours)


def remove_stale():
    """Labs are named by the process that made them: those of a process that was killed go."""
    names = {namespace.rpartition("-")[0] for namespace in _namespaces()}
    for name in names:
        pid = name.removeprefix("cohort-")
        if pid != name and pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            remove(name)
