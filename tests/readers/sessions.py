"""Looks through the logs of the tests' PostgreSQL servers for what sessions of ours asked for.

    sessions.py FOLDER

The servers log every statement with the name of its session. Fails when one that Longshore opened
ran anything but what it says it runs, or when there is nothing to look at.
"""

import pathlib
import re
import sys
import time

# %m [%p] %u@%d %a, the message and, in further lines, the rest of its statement.
LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[(\d+)\] (?:(\S+)@(.*?) (longshore\S*) )?LOG:  (.*)$")
STATEMENT = re.compile(r"^(?:statement|execute [^:]*): (.*)$", re.DOTALL)

READS = [
    r"SELECT\b",
    r"WITH\b",
    r"EXPLAIN SELECT\b",
    r"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY(; SET TRANSACTION SNAPSHOT '[^']+')?$",
    r"LOCK TABLE .* IN ACCESS SHARE MODE$",
    r"COPY \(SELECT .*\) TO STDOUT \(FORMAT binary\)$",
    r"ROLLBACK$",
    r"SET client_encoding TO 'SQL_ASCII'$",
]


def statements(log):
    """Every statement of a session that calls itself Longshore's."""
    ours, message = False, []
    for line in log.read_text(errors="replace").splitlines() + ["end"]:
        if line.startswith("\t"):
            message.append(line[1:])
            continue
        if ours and (found := STATEMENT.match("\n".join(message))):
            yield found[1].strip()
        found = LINE.match(line)
        ours, message = bool(found and found[4]), [found[5]] if found else []


def wait_for_servers(folder):
    """Servers end by themselves once the tests have, but not at once."""
    deadline = time.monotonic() + 60
    while any(folder.glob("*.running")) and time.monotonic() < deadline:
        time.sleep(0.2)
    if left := [marker.stem for marker in folder.glob("*.running")]:
        sys.exit(f"servers that did not end: {', '.join(left)}")


def main():
    folder = pathlib.Path(sys.argv[1])
    wait_for_servers(folder)
    reads = re.compile("|".join(f"(?:{read})" for read in READS), re.DOTALL)
    seen, wrong = 0, set()
    for log in sorted(folder.glob("*.log")):
        for statement in statements(log):
            seen += 1
            if not reads.match(statement):
                wrong.add(f"{log.name}: {statement}")
    for line in sorted(wrong):
        print(line)
    print(f"{seen} statements, {len(wrong)} of them other than reads")
    # Where only some tests ran there may be nothing to look at.
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
