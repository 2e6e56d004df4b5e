"""Our programs in the lab: start, stop, and the operator's command."""

import json
import os
import pathlib
import re

from lab import configs, topology
from lab.namespaces import LabError, wait_for

BUILD = pathlib.Path(os.environ.get("COHORT_BUILD", "build/release")).resolve()


class Daemon:
    """cohortd on a node, with a configuration that was checked before it starts."""

    def __init__(self, node, configuration):
        self.node = node
        self.configuration = configuration
        self.file = node.folder / "cohortd.json"
        self.process = None

    def write(self):
        self.file.write_text(json.dumps(self.configuration, indent=2) + "\n", encoding="utf-8")
        self.file.chmod(0o600)
        self.node.run(BUILD / "controlplane/daemon/cohort", "config", "check", self.file)

    def start(self):
        self.write()
        label = f"cohortd{sum(p.log.parent == self.node.folder for p in self.node.lab.processes)}"
        self.process = self.node.start(label, BUILD / "controlplane/daemon/cohortd", self.file)
        wait_for(self._answers, 30, f"answer from cohortd on {self.node.name}")
        return self

    def _answers(self):
        if not self.process.running():
            raise LabError(f"cohortd on {self.node.name} ended with status "
                           f"{self.process.popen.returncode}: {self.process.output()[-2000:]}")
        return self.attempt("show", "version").returncode == 0

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.popen.kill()
        self.process.popen.wait()

    def attempt(self, *words):
        socket = self.configuration["admin"]["socket"]
        return self.node.attempt(BUILD / "controlplane/daemon/cohort", "--socket", socket, *words)

    def cohort(self, *words):
        """Runs the operator's command; returns what it printed."""
        done = self.attempt(*words)
        if done.returncode:
            raise LabError(f"{self.node.name}: cohort {' '.join(words)}: "
                           + (done.stderr or done.stdout).strip())
        return done.stdout

    def show(self, *words):
        """The same as JSON values."""
        return json.loads(self.cohort("--json", "show", *words))

    def events(self, name):
        """The events of a name so far, from the event log."""
        path = pathlib.Path(self.configuration["logging"]["event_log"])
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if event.get("name") == name]


class Member(Daemon):
    def start(self):
        super().start()
        topology.raise_punt(self.node)
        return self

    def group(self):
        return self.show("crypto", "gkm", "group")


def fingerprint_of(authority):
    """As the operator at the authority reads it to the others."""
    text = authority.cohort("show", "crypto", "pki", "server")
    found = re.search(r"(?i)sha-?256[^0-9a-f]*((?:[0-9a-f]{2}[: ]?){32})", text)
    if not found:
        raise LabError("the authority shows no SHA-256 fingerprint:\n" + text)
    return re.sub("[^0-9a-fA-F]", "", found.group(1))
