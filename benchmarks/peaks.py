"""The most memory that a process of its own holds, which does nothing else."""

import resource
import subprocess
import sys


def peak(*arguments):
    """Runs this script again, and returns the peak that it prints, in MB.

    Args:
        *arguments: Those of the command line.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def print_peak():
    """Prints the peak of this process, in MB."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(usage / (2**20 if sys.platform == "darwin" else 2**10))
