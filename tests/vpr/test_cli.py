"""What every command does at its border with a person and the system."""

import signal
import subprocess
import sys

ENDED = """
import time
from dataclasses import dataclass
from vpr import cli

@dataclass
class Settings:
    pass

def main(settings):
    try:
        print("at work", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
    return 0

cli.run(main, Settings, "python it.py")
"""


def test_a_command_that_a_scheduler_ends_cleans_up():
    command = [sys.executable, "-c", ENDED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("cleaned up\n", "interrupted\n") and process.returncode == 130
