"""Runs the contenders in turn and prints what each took. Started by benches/compare/run.

A contender is measured as its user meets it: one whole process, start-up and imports included.
Rounds go A B C, A B C, ..., so that a slow spell of the machine falls on all of them.

This process must stay small: the kernel counts the memory that a child shares with it before it
becomes the contender towards the child's peak. So it imports nothing but the standard library.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import raw
import report
import servers
import subjects

HERE = Path(__file__).parent
CONTENDERS = ["raw", "longshore", "duckdb", "connectorx", "adbc"]
SAMPLE_SECONDS = 2

LONGSHORE_YML = """\
warehouse: {url: ./warehouse, format: parquet}
connections:
  source:
    url: ${SOURCE_URL}
    connections: 3
"""
BENCH_YML = """\
description: Tables as they are
extract:
  - from: source
    into: bench
    tables: [TABLES]
"""


def main():
    arguments = parse()
    measured = subjects.named(arguments.table)
    if arguments.save_stream:
        with servers.Servers(measured, arguments.scale, arguments.shrink) as url:
            servers.save_stream(url, measured[0].tables[0], arguments.save_stream)
        return
    program = servers.program() if "longshore" in arguments.only else None
    names = [name for name in arguments.only if name != "longshore" or program]
    with servers.Servers(measured, arguments.scale, arguments.shrink) as url:
        reports = [measure_subject(arguments, subject, names, url, program) for subject in measured]
    if len(reports) > 1:
        report.print_rates(reports)
    report.print_noise(reports)


def parse():
    parser = argparse.ArgumentParser(description="Longshore and its peers side by side")
    parser.add_argument("--table", default="lineitem", choices=subjects.NAMES)
    parser.add_argument("--scale", default="1", help="of TPC-H")
    parser.add_argument("--shrink", default=1, type=int, help="divides the rows of shapes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help=f"names with commas, of {','.join(CONTENDERS)}")
    parser.add_argument(
        "--save-stream", metavar="FILE", type=Path, help="save one table's COPY stream, then stop"
    )
    arguments = parser.parse_args()
    several = arguments.table == "shapes"
    arguments.only = (
        arguments.only.split(",") if arguments.only else CONTENDERS[: 3 if several else None]
    )
    for name in arguments.only:
        if name not in CONTENDERS:
            parser.error(f"no contender `{name}`; there are {', '.join(CONTENDERS)}")
    if arguments.save_stream and arguments.table in ("all", "shapes"):
        parser.error("one table's stream can be saved at a time")
    return arguments


def measure_subject(arguments, subject, names, url, program):
    """All rounds of all contenders; prints the table of this subject."""
    expected = {
        table: int(raw.query_one(url, f"SELECT count(*) FROM {table}")) for table in subject.tables
    }
    outcome = report.Report(subject.title(arguments), expected, arguments.rounds)
    print(f"\n{outcome.title}: {outcome.rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory(prefix="longshore-compare-") as folder:
        # Nobody pays for reading the tables from disk for the first time.
        measure("raw", url, subject, Path(folder), program)
        left = list(names)
        for number in range(arguments.rounds):
            outcome.busy.append(cores_busy_elsewhere())
            for name in list(left):
                result = measure(name, url, subject, Path(folder), program)
                fault = result.get("fault") or miscount(expected, result["rows"])
                if fault:
                    if name == "raw":
                        sys.exit(f"the raw limit can't be measured: {fault}")
                    outcome.leave_out(name, fault)
                    left.remove(name)
                    continue
                outcome.add(name, result)
                print(f"round {number + 1}  {name:<11} {result['wall']:6.2f} s", flush=True)
    outcome.print()
    return outcome


def miscount(expected, found):
    wrong = [
        f"{found.get(table, 0)} rows of `{table}` instead of {rows}"
        for table, rows in expected.items()
        if found.get(table, 0) != rows
    ]
    return f"it unloaded {', '.join(wrong)}" if wrong else None


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


def measure(name, url, subject, folder, program):
    """Runs one contender in a fresh folder."""
    work = folder / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    environment = dict(os.environ)
    if name == "longshore":
        command = [program, "run", "bench"]
        environment["SOURCE_URL"] = url
        tables = ", ".join(f"public.{table}" for table in subject.tables)
        (work / "longshore.yml").write_text(LONGSHORE_YML)
        (work / "pipelines").mkdir()
        (work / "pipelines/bench.yml").write_text(BENCH_YML.replace("TABLES", tables))
    elif name == "raw":
        command = [sys.executable, HERE / "raw.py", url, *subject.tables]
    else:
        keyed = [f"{table}:{key}" for table, key in subject.keys.items()]
        command = [sys.executable, HERE / "peers.py", name, url, work, *keyed]
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
    if process.returncode != 0:
        code = process.returncode
        return {"fault": f"it ended with exit code {code}{': ' if said else ''}{said}"}
    if name == "raw":
        found = {"rows": json.loads(said), "types": {}}
    else:
        found = describe(made(work), subject)
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "bytes": sum(file.stat().st_size for file in made(work).rglob("*.parquet")),
        **found,
    }


def made(work):
    """What readers are given: Longshore's stage holds the same files under a second name."""
    return work / "warehouse" if (work / "warehouse").exists() else work


def describe(folder, subject):
    """The rows of each table's files, and the types of their columns."""
    command = [sys.executable, HERE / "peers.py", "describe", folder, *subject.tables]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
