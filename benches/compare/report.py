"""What the measurements came to, as Markdown tables."""

import os
import statistics

NAMES = {
    "raw": "raw limit",
    "longshore": "Longshore",
    "duckdb": "DuckDB 1.5.5",
    "connectorx": "ConnectorX 0.4.6",
    "adbc": "ADBC 1.13.0",
}
# With more than this many cores at work elsewhere, wall and CPU times say little.
QUIET_CORES = 0.1
# How much of a contender's own words is repeated.
SAID_LENGTH = 300


class Report:
    """The results of one subject."""

    def __init__(self, title, expected, rounds):
        self.title = title
        self.rows = sum(expected.values())
        self.rounds = rounds
        self.results = {}
        self.left_out = {}
        self.busy = []

    def add(self, name, result):
        self.results.setdefault(name, []).append(result)

    def leave_out(self, name, reason):
        self.results.pop(name, None)
        self.left_out[name] = " ".join(reason.split())[:SAID_LENGTH]
        print(f"left out {name}: {self.left_out[name]}", flush=True)

    def median(self, name, key):
        """None where the contender has no result."""
        if name in self.results:
            return statistics.median(result[key] for result in self.results[name])
        return None

    def print(self):
        print(f"\n{self.title}: {self.rows:,} rows; ", end="")
        print(f"medians of rounds: {self.rounds}, cores: {os.cpu_count()}\n")
        print("| | wall | from – to | own CPU | peak memory | output | × DuckDB | × raw limit |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for name, results in self.results.items():
            walls = [result["wall"] for result in results]
            size = self.median(name, "bytes")
            cells = [
                NAMES[name],
                f"{self.median(name, 'wall'):.2f} s",
                f"{min(walls):.2f} – {max(walls):.2f}",
                f"{self.median(name, 'cpu'):.2f} s",
                f"{self.median(name, 'peak') / 1e6:.0f} MB",
                f"{size / 1e6:.0f} MB" if size else "",
                self.slower(name, "duckdb"),
                self.slower(name, "raw"),
            ]
            print(f"| {' | '.join(cells)} |")
        for name, reason in self.left_out.items():
            print(f"\n{NAMES[name]} is left out: {reason}")
        self.print_types()

    def slower(self, name, than):
        other = self.median(than, "wall")
        return f"{self.median(name, 'wall') / other:.2f}" if other else ""

    def print_types(self):
        """Which columns a peer writes in other types than Longshore: then they don't do the same
        work, and values may differ."""
        ours = self.types("longshore")
        for name in self.results:
            theirs = self.types(name)
            by_types = {}
            for column in ours:
                if theirs.get(column, ours[column]) != ours[column]:
                    by_types.setdefault((ours[column], theirs[column]), []).append(column)
            if by_types:
                print(f"\n{NAMES[name]} writes other types:")
            for (our, their), columns in by_types.items():
                print(f"- {their} where Longshore writes {our}: {some(columns)}")

    def types(self, name):
        return self.results[name][0]["types"] if name in self.results else {}


def some(columns):
    shown = ", ".join(f"`{column}`" for column in columns[:4])
    return shown if len(columns) <= 4 else f"{shown} and {len(columns) - 4} more"


def print_rates(reports):
    """One line per subject, in rows a second."""
    print("\nrows per second, from the medians of wall time\n")
    print(
        "| | rows | raw limit | Longshore | DuckDB 1.5.5 "
        "| Longshore ÷ DuckDB | Longshore ÷ raw limit |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for report in reports:
        rates = {}
        for name in ("raw", "longshore", "duckdb"):
            wall = report.median(name, "wall")
            rates[name] = report.rows / wall if wall else None
        cells = [report.title, f"{report.rows:,}"]
        cells += [f"{rate:,.0f}" if rate else "left out" for rate in rates.values()]
        cells += [quotient(rates["longshore"], rates[other]) for other in ("duckdb", "raw")]
        print(f"| {' | '.join(cells)} |")


def quotient(rate, other):
    return f"{rate / other:.2f}" if rate and other else ""


def print_noise(reports):
    busy = max(sample for report in reports for sample in report.busy)
    print(f"\nbusy with other work before a round: up to {busy:.1f} of {os.cpu_count()} cores")
    if busy > QUIET_CORES:
        print("the machine was NOT quiet: these figures are no result")
