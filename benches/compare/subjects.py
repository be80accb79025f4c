"""What can be measured: TPC-H's tables, and tables of one shape each."""

from dataclasses import dataclass

# The first column of each table's key: an integer to split the table by.
TPCH = {
    "lineitem": "l_orderkey",
    "orders": "o_orderkey",
    "partsupp": "ps_partkey",
    "part": "p_partkey",
    "customer": "c_custkey",
    "supplier": "s_suppkey",
    "nation": "n_nationkey",
    "region": "r_regionkey",
}
# Made by shapes.rs, as tables of the name `shape_NAME`.
SHAPES = ["narrow", "wide", "text", "numeric", "json", "arrays"]
NAMES = [*TPCH, "all", *SHAPES, "shapes"]


@dataclass
class Subject:
    """Tables that are unloaded together."""

    name: str
    keys: dict
    is_shape: bool = False

    @property
    def tables(self):
        return list(self.keys)

    def title(self, arguments):
        if not self.is_shape:
            what = "all eight tables" if self.name == "all" else self.name
            return f"{what} at scale {arguments.scale}"
        return self.name if arguments.shrink == 1 else f"{self.name}, shrunk by {arguments.shrink}"


def named(name):
    """The subjects that a name on the command line stands for."""
    if name == "all":
        return [Subject(name, TPCH)]
    if name in TPCH:
        return [Subject(name, {name: TPCH[name]})]
    shapes = SHAPES if name == "shapes" else [name]
    return [Subject(shape, {f"shape_{shape}": "id"}, is_shape=True) for shape in shapes]
