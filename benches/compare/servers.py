"""The servers that are read, and the programs that are built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CARGO_BENCH = ["cargo", "bench", "--quiet", "--locked", "--profile", "dev", "--bench"]
# Both servers, their logs of writes included; measured: 6.2 GB at scale 1, 6.4 GB for the shapes.
GIGABYTES_PER_SCALE = 6.5
GIGABYTES_OF_SHAPES = 7


def program():
    """The release program, or None where it does not build."""
    given = os.environ.get("LONGSHORE_COMPARE_PROGRAM")
    if given:
        return from_caller(given)
    built = subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"])
    if built.returncode != 0:
        print("skipped longshore: the release program does not build", flush=True)
        return None
    return Path(os.environ["CARGO_TARGET_DIR"]) / "release" / "longshore"


def save_stream(url, table, file):
    """What the standby sends for the table, for benches/replay."""
    command = [*CARGO_BENCH, "replay", "--", "save", url, table, from_caller(file)]
    subprocess.run(command, check=True)


def from_caller(path):
    """Paths are meant from where `run` was called; it then went to the project's folder."""
    return Path(os.environ.get("OLDPWD", ".")).absolute() / path


class Servers:
    """The address of the standby; our own servers stop when this process ends."""

    def __init__(self, subjects, scale, shrink):
        self.process = None
        shapes = [subject.name for subject in subjects if subject.is_shape]
        if shapes:
            self.folder = "shapes" if shrink == 1 else f"shapes-{shrink}"
            self.load = ["--shapes", ",".join(shapes), "--shrink", str(shrink)]
            self.gigabytes = GIGABYTES_OF_SHAPES / shrink
        else:
            self.folder = f"scale-{scale}"
            self.load = ["--scale", scale]
            self.gigabytes = GIGABYTES_PER_SCALE * float(scale)

    def __enter__(self):
        given = os.environ.get("LONGSHORE_COMPARE_URL")
        if given:
            return given
        data = Path(os.environ["LONGSHORE_COMPARE_DATA"]) / self.folder
        self.check_room(data)
        command = [*CARGO_BENCH, "compare", "--", "--data", data, *self.load]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if line.startswith("standby "):
                return line.split()[1]
        sys.exit("the servers did not start")

    def check_room(self, data):
        """A disk that fills up would stop others, and both servers in the middle of the load."""
        if data.exists():
            return
        data.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(data.parent).free / 1e9
        if free < self.gigabytes:
            sys.exit(
                f"{data} needs about {self.gigabytes:.0f} GB and there are {free:.0f} GB free; "
                "LONGSHORE_COMPARE_DATA names another place"
            )

    def __exit__(self, *_):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
