"""Whether cohortd can mark the files that it writes on this file system."""

import os
import pathlib


def files_are_marked(daemon):
    """The daemon marks its state files where there are extended attributes, times of birth, and a
    machine id (docs/coop-protocol.md section 10.1)."""
    state = pathlib.Path(daemon.configuration["state_directory"])
    return any("user.cohort.origin" in os.listxattr(path) for path in state.rglob("*")
               if path.is_file())
