"""Runs the contenders in turn and prints what each took. Started by benches/compare/run.

A contender is measured as its user meets it: one whole process, start-up and imports included.
Rounds go A B C, A B C, ..., so that a slow spell of the machine falls on all of them.

This process must stay small: the kernel counts the memory that a child shares with it before it
becomes the contender towards the child's peak. So it imports nothing but the standard library.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import raw

HERE = Path(__file__).parent
KEYS = {
    "lineitem": "l_orderkey",
    "orders": "o_orderkey",
    "partsupp": "ps_partkey",
    "part": "p_partkey",
    "customer": "c_custkey",
    "supplier": "s_suppkey",
}
CONTENDERS = ["raw", "longshore", "duckdb", "connectorx", "adbc"]
NAMES = {
    "raw": "raw limit",
    "longshore": "Longshore",
    "duckdb": "DuckDB 1.5.5",
    "connectorx": "ConnectorX 0.4.6",
    "adbc": "ADBC 1.13.0",
}
# With more than this many cores at work elsewhere, wall and CPU times say little.
QUIET_CORES = 0.1
SAMPLE_SECONDS = 2

LONGSHORE_YML = """\
warehouse: {url: ./warehouse, format: parquet}
connections:
  source:
    url: ${SOURCE_URL}
    connections: 3
"""
BENCH_YML = """\
description: One table, as it is
extract:
  - from: source
    into: bench
    tables: [public.TABLE]
"""


def main():
    arguments = parse()
    if arguments.save_stream:
        with Servers(arguments.scale) as url:
            save_stream(url, arguments.table, arguments.save_stream)
        return
    program = build_longshore() if "longshore" in arguments.only else None
    with Servers(arguments.scale) as url:
        rows = int(raw.query_one(url, f"SELECT count(*) FROM {arguments.table}"))
        measure_all(arguments, url, rows, program)


def parse():
    parser = argparse.ArgumentParser(description="Longshore and its peers side by side")
    parser.add_argument("--scale", default="1")
    parser.add_argument("--table", default="lineitem", choices=KEYS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CONTENDERS), help="names, with commas")
    parser.add_argument(
        "--save-stream", metavar="FILE", type=Path, help="save the table's COPY stream, then stop"
    )
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    for name in arguments.only:
        if name not in CONTENDERS:
            parser.error(f"no contender `{name}`; there are {', '.join(CONTENDERS)}")
    return arguments


def build_longshore():
    """The release program, or None where it does not build."""
    built = subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"])
    if built.returncode != 0:
        print("skipped longshore: the release program does not build", flush=True)
        return None
    return Path(os.environ["CARGO_TARGET_DIR"]) / "release" / "longshore"


def save_stream(url, table, file):
    """What the standby sends for the table, for benches/replay."""
    command = ["cargo", "bench", "--quiet", "--locked", "--profile", "dev", "--bench", "replay"]
    subprocess.run([*command, "--", "save", url, table, file.absolute()], check=True)


class Servers:
    """The address of the standby; our own servers stop when this process ends."""

    def __init__(self, scale):
        self.scale = scale
        self.process = None

    def __enter__(self):
        given = os.environ.get("LONGSHORE_COMPARE_URL")
        if given:
            return given
        data = Path(os.environ["LONGSHORE_COMPARE_DATA"]) / f"scale-{self.scale}"
        command = ["cargo", "bench", "--quiet", "--locked", "--profile", "dev"]
        command += ["--bench", "compare", "--", "--data", data, "--scale", self.scale]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if line.startswith("standby "):
                return line.split()[1]
        sys.exit("the servers did not start")

    def __exit__(self, *_):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def measure_all(arguments, url, rows, program):
    results = {name: [] for name in arguments.only if name != "longshore" or program}
    busy = []
    with tempfile.TemporaryDirectory(prefix="longshore-compare-") as folder:
        # Nobody pays for reading the table from disk for the first time.
        measure("raw", url, arguments.table, Path(folder), program)
        for number in range(arguments.rounds):
            busy.append(cores_busy_elsewhere())
            for name in list(results):
                result = measure(name, url, arguments.table, Path(folder), program)
                if result["rows"] != rows:
                    found = f"{result['rows']} rows instead of {rows} ({result['ended']})"
                    if name != "longshore":
                        sys.exit(f"{name} unloaded {found}")
                    print(f"skipped longshore: it unloaded {found}", flush=True)
                    del results[name]
                    continue
                results[name].append(result)
                print(f"round {number + 1}  {name:<11} {result['wall']:6.2f} s", flush=True)
    print_table(arguments, rows, results)
    print(f"\nbusy with other work before a round: up to {max(busy):.1f} of {os.cpu_count()} cores")
    if max(busy) > QUIET_CORES:
        print("the machine was NOT quiet: these figures are no result")


def cores_busy_elsewhere():
    """How many cores other work keeps busy while we and our servers do nothing."""
    before = cpu_seconds()
    time.sleep(SAMPLE_SECONDS)
    return (cpu_seconds() - before) / SAMPLE_SECONDS


def cpu_seconds():
    """CPU time that the whole machine has spent working, from the first line of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(None, 9)[1:9]
    )
    busy = user + nice + system + irq + softirq + steal
    return busy / os.sysconf("SC_CLK_TCK")


def measure(name, url, table, folder, program):
    """Runs one contender in a fresh folder."""
    work = folder / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    environment = dict(os.environ)
    if name == "longshore":
        command = [program, "run", "bench"]
        environment["SOURCE_URL"] = url
        (work / "longshore.yml").write_text(LONGSHORE_YML)
        (work / "pipelines").mkdir()
        (work / "pipelines/bench.yml").write_text(BENCH_YML.replace("TABLE", table))
    elif name == "raw":
        command = [sys.executable, HERE / "raw.py", url, table]
    else:
        command = [sys.executable, HERE / "peers.py", name, url, table, KEYS[table], work]
    with open(work / "output", "w+b") as output:
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if process.returncode != 0 and name != "longshore":
        sys.exit(f"{name} failed:\n{said}")
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "bytes": sum(file.stat().st_size for file in made(work).rglob("*.parquet")),
        "rows": int(said) if name == "raw" else count_rows(made(work)),
        "ended": f"exit code {process.returncode}{': ' + said if process.returncode else ''}",
    }


def made(work):
    """What readers are given: Longshore's stage holds the same files under a second name."""
    return work / "warehouse" if (work / "warehouse").exists() else work


def count_rows(folder):
    command = [sys.executable, HERE / "peers.py", "count", folder]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_table(arguments, rows, results):
    medians = {
        name: {key: statistics.median(result[key] for result in all_of) for key in all_of[0]
               if key not in ("rows", "ended")}
        for name, all_of in results.items()
        if all_of
    }
    print(f"\n{arguments.table} at scale {arguments.scale}: {rows:,} rows; ", end="")
    print(f"medians of {arguments.rounds} rounds, {os.cpu_count()} cores\n")
    print("| | wall | from – to | own CPU | peak memory | output | × DuckDB | × raw limit |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, median in medians.items():
        walls = [result["wall"] for result in results[name]]
        cells = [
            NAMES[name],
            f"{median['wall']:.2f} s",
            f"{min(walls):.2f} – {max(walls):.2f}",
            f"{median['cpu']:.2f} s",
            f"{median['peak'] / 1e6:.0f} MB",
            f"{median['bytes'] / 1e6:.0f} MB" if median["bytes"] else "",
            ratio(median, medians.get("duckdb")),
            ratio(median, medians.get("raw")),
        ]
        print(f"| {' | '.join(cells)} |")


def ratio(median, other):
    return f"{median['wall'] / other['wall']:.2f}" if other else ""


if __name__ == "__main__":
    main()
