"""Our programs in the lab: start, stop, the operator's command, and the socket behind it."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket

from lab import topology
from lab.namespaces import LabError, wait_for

BUILD = pathlib.Path(os.environ.get("COHORT_BUILD", "build/release")).resolve()


class Daemon:
    """cohortd on a node, with a configuration that was checked before it starts."""

    def __init__(self, node, configuration):
        self.node = node
        self.configuration = configuration
        self.file = node.folder / "cohortd.json"
        self.socket = configuration["admin"]["socket"]
        self.process = None
        self.paused = False

    def write(self):
        self.file.write_text(json.dumps(self.configuration, indent=2) + "\n", encoding="utf-8")
        self.file.chmod(0o600)
        self.node.run(BUILD / "controlplane/daemon/cohort", "config", "check", self.file)

    def start(self):
        self.write()
        self.process = self.node.start("cohortd", BUILD / "controlplane/daemon/cohortd", self.file)
        wait_for(self._answers, 60, f"answer from cohortd on {self.node.name}")
        return self

    def _answers(self):
        if not self.process.running():
            raise LabError(f"cohortd on {self.node.name} ended with status "
                           f"{self.process.popen.returncode}: {self.process.output()[-2000:]}")
        try:
            return self.ask("show version")
        except OSError:  # the socket is not there yet
            return None

    def alive(self):
        return self.process.running() and bool(self.ask("show version"))

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.popen.kill()
        self.process.popen.wait()

    def lose_power(self):
        """The machine goes, and with it what is in memory; start() starts it again."""
        self.kill()
        shutil.rmtree(self.configuration["runtime_directory"], ignore_errors=True)

    def pause(self):
        """The machine stops in the middle of whatever it does, and knows nothing of it."""
        self.process.popen.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.process.popen.send_signal(signal.SIGCONT)
        self.paused = False

    def ask(self, command, **arguments):
        """A request on the operator's socket, as `cohort` makes it; the answer's data."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.socket)
            request = {"command": command, "arguments": arguments}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile(encoding="utf-8") as lines:
                answer = json.loads(lines.readline())
        if not answer["ok"]:
            raise LabError(f"{self.node.name}: {command}: {answer['error']}")
        return answer["data"]

    def cohort(self, *words):
        """Runs the operator's command; returns what it printed."""
        return self.node.run(BUILD / "controlplane/daemon/cohort", "--socket", self.socket, *words)

    def log_lines(self, mnemonics):
        """What it wrote to its log, as syslog has it, of events whose names match the expression;
        over all of its starts."""
        wanted = re.compile(rf"%[A-Z]+-\d-(?:{mnemonics}):")
        return [line for process in self.node.lab.processes
                if process.node is self.node and process.label == "cohortd"
                for line in process.output().splitlines() if wanted.search(line)]

    def events(self, mnemonic):
        """The events of that name so far, from the event log."""
        path = pathlib.Path(self.configuration["logging"]["event_log"])
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if event["mnemonic"] == mnemonic]

    def refusals(self):
        """{reason: how often} over all entries for untrusted data."""
        counts = {}
        for row in self.ask("show refusals"):
            counts[row["reason"]] = counts.get(row["reason"], 0) + row["count"]
        return counts


class Enrolled(Daemon):
    """A daemon that has a trustpoint."""

    def enrolled(self):
        return all(trustpoint["enrolled"] for trustpoint in self.ask("show crypto pki trustpoints"))

    def certificate(self):
        return next(one for one in self.ask("show crypto pki certificates")
                    if one["kind"] == "certificate")


class KeyServer(Enrolled):
    def coop(self):
        """What it knows of itself and of the other key servers of the group."""
        return self.ask("show crypto gkm ks coop")[0]

    def serves(self):
        """Whether it has the group: not before it has the key pair that signs rekeys."""
        return bool(self.ask("show crypto gkm ks coop"))

    def role(self):
        return self.coop()["role"]

    def policy(self):
        return self.ask("show crypto gkm ks policy")[0]

    def spis(self):
        """SPIs of the traffic keys that it would hand out now."""
        return {tek["spi"] for tek in self.policy()["teks"] if not tek["superseded"]}

    def kek(self):
        return self.policy()["kek"]

    def members(self):
        return self.ask("show crypto gkm ks members")[0]["members"]

    def runs(self):
        return self.process is not None and self.process.running() and not self.paused


class Member(Enrolled):
    def start(self):
        super().start()
        topology.raise_punt(self.node)
        return self

    def group(self):
        return self.ask("show crypto gkm group")[0]

    def registered(self):
        return self.group()["registration"]["registered"]

    def sending(self):
        """SPIs that it sends with, in the order of the policy."""
        return [tek["spi"] for tek in self.group()["teks"] if tek["sending"]]

    def drops(self):
        """{reason: packets}, without the zeros."""
        drops = self.ask("show dataplane counters")[0]["drops"]
        return {reason: count for reason, count in drops.items() if count}

    def esp_sa(self):
        """Rows for tshark's `esp_sa` table; the keys of this lab, no secret of anybody."""
        return self.ask("gm export-lab-keys")["esp_sa"].splitlines()
