"""Reads tables with software that shares no code with Longshore.

    readers.py rows        --as READER [--option KEY=VALUE]... LOCATION...
    readers.py schema      --as READER [--option KEY=VALUE]... LOCATION...
    readers.py fingerprint --as READER [--option KEY=VALUE]... LOCATION...
    readers.py layout      FILE...
    readers.py versions

`rows` prints one JSON object a row, the lines sorted; `schema` prints one JSON object of column
names and Arrow types; `fingerprint` prints counts and, per column, NULLs,
minimum, maximum and sum, all computed by DuckDB whoever read the rows; `layout` prints what pyarrow
finds in Parquet files' footers: one JSON object a row group.

READER, and what LOCATION is then:
    delta-rs        a Delta table's folder or URL; the data files are read by pyarrow
    duckdb-delta    a Delta table's folder or URL; read by DuckDB's delta extension
    pyarrow         Parquet files
    duckdb-parquet  Parquet files, folders' globs or URLs
    duckdb-union    the same, where some files lack columns of others
    postgres        a connection string, then `schema.table`; read by DuckDB's scanner

Options are an object store's, by the names that object stores give them (`aws_endpoint`, ...), and
`version`, a Delta table's version to travel to.
"""

import argparse
import datetime
import decimal
import importlib
import json
import math
import os
import uuid
from urllib.parse import urlsplit


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["rows", "schema", "fingerprint", "layout", "versions"])
    parser.add_argument("--as", dest="reader", choices=READERS)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("location", nargs="*")
    arguments = parser.parse_intermixed_args()
    if arguments.verb == "versions":
        print_versions()
        return
    if arguments.verb == "layout":
        print_layout(arguments.location)
        return
    options = dict(pair.split("=", 1) for pair in arguments.option)
    read = READERS[arguments.reader](arguments.location, options)
    {"rows": print_rows, "schema": print_schema, "fingerprint": print_fingerprint}[arguments.verb](
        read
    )


class Read:
    """What a reader found: an Arrow table it made itself, or a relation that DuckDB reads."""

    def __init__(self, connection, relation):
        self.connection = connection
        self.relation = relation

    @classmethod
    def by_arrow(cls, table):
        connection = connect([])
        connection.register("read_by_arrow", table)
        read = cls(connection, "read_by_arrow")
        read.arrow = lambda: table
        return read

    def arrow(self):
        return self.connection.execute(f"SELECT * FROM {self.relation}").to_arrow_table()

    def types(self):
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {self.relation}").fetchall()
        return {row[0]: row[1] for row in described}


def read_delta_rs(location, options):
    import deltalake

    version = options.pop("version", None)
    version = None if version is None else int(version)
    table = deltalake.DeltaTable(location[0], version=version, storage_options=options)
    return Read.by_arrow(table.to_pyarrow_table())


def read_pyarrow(location, _options):
    import pyarrow
    import pyarrow.parquet

    # Each file by its own schema: files that disagree are an error, not a cast.
    tables = [pyarrow.parquet.read_table(file) for file in location]
    return Read.by_arrow(pyarrow.concat_tables(tables))


def read_duckdb_delta(location, options):
    version = options.pop("version", None)
    travel = "" if version is None else f", version => {int(version)}"
    connection = connect(["delta"], options)
    return Read(connection, f"delta_scan({literal(location[0])}{travel})")


def read_duckdb_parquet(location, options):
    connection = connect([], options)
    files = ", ".join(literal(file) for file in location)
    return Read(connection, f"read_parquet([{files}])")


def read_duckdb_union(location, options):
    connection = connect([], options)
    files = ", ".join(literal(file) for file in location)
    return Read(connection, f"read_parquet([{files}], union_by_name = true)")


def read_postgres(location, _options):
    connection = connect(["postgres_scanner"])
    schema, table = location[1].split(".", 1)
    url, schema, table = literal(location[0]), literal(schema), literal(table)
    return Read(connection, f"postgres_scan({url}, {schema}, {table})")


READERS = {
    "delta-rs": read_delta_rs,
    "duckdb-delta": read_duckdb_delta,
    "pyarrow": read_pyarrow,
    "duckdb-parquet": read_duckdb_parquet,
    "duckdb-union": read_duckdb_union,
    "postgres": read_postgres,
}


def connect(extensions, options=None):
    import duckdb

    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    connection.execute("SET TimeZone = 'UTC'")
    for extension in extensions + (["httpfs"] if options else []):
        connection.execute(f"LOAD {literal(extension_file(extension))}")
    if options:
        connection.execute(s3_secret(options))
    return connection


def extension_file(name):
    """The file of an extension, from its package: nothing is downloaded by DuckDB itself."""
    import duckdb

    package = os.path.dirname(importlib.import_module(f"duckdb_extension_{name}").__file__)
    version = f"v{duckdb.__version__}"
    return os.path.join(package, "extensions", version, f"{name}.duckdb_extension")


def s3_secret(options):
    endpoint = urlsplit(options["aws_endpoint"])
    return (
        "CREATE SECRET (TYPE s3, URL_STYLE 'path', "
        f"KEY_ID {literal(options['aws_access_key_id'])}, "
        f"SECRET {literal(options['aws_secret_access_key'])}, "
        f"REGION {literal(options['aws_region'])}, "
        f"ENDPOINT {literal(endpoint.netloc)}, USE_SSL {endpoint.scheme == 'https'})"
    )


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def print_rows(read):
    rows = read.arrow().to_pylist()
    for line in sorted(json.dumps(plain(row), ensure_ascii=False) for row in rows):
        print(line)


def plain(value):
    """A value as JSON that loses nothing: what JSON has no type for becomes text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (uuid.UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    raise TypeError(f"no JSON form for {type(value)}")


def print_schema(read):
    types = {field.name: str(field.type) for field in read.arrow().schema}
    print(json.dumps(types, ensure_ascii=False))


def print_fingerprint(read):
    columns = read.types()
    asked = ["count(*)"]
    for name, kind in columns.items():
        asked += fingerprint_of(identifier(name), kind)
    query = f"SELECT {', '.join(asked)} FROM {read.relation}"
    row = read.connection.execute(query).fetchone()
    prints = {}
    for index, name in enumerate(columns):
        nulls, low, high, total = row[1 + 4 * index : 5 + 4 * index]
        prints[name] = {"nulls": nulls, "min": low, "max": high, "sum": total}
    print(json.dumps({"rows": row[0], "columns": prints}, ensure_ascii=False))


def fingerprint_of(column, kind):
    """NULLs, minimum, maximum and sum as text. What has no exact sum adds up its values' hashes
    instead: DuckDB computes them whoever read the rows, so they compare between readers."""
    if kind.endswith("INT") or kind == "INTEGER":
        total = f"sum({column}::hugeint)"
    elif kind.startswith("DECIMAL"):
        total = f"sum({column})"
    elif kind == "DATE":
        total = f"sum({column} - DATE '1970-01-01')"
    elif kind.startswith("TIMESTAMP"):
        total = f"sum(epoch_us({column})::hugeint)"
    else:
        total = f"sum(hash({column})::hugeint) FILTER ({column} IS NOT NULL)"
    return [
        f"count(*) - count({column})",
        f"min({column})::varchar",
        f"max({column})::varchar",
        f"({total})::varchar",
    ]


def print_layout(files):
    import pyarrow.parquet

    for file in files:
        footer = pyarrow.parquet.read_metadata(file)
        for index in range(footer.num_row_groups):
            group = footer.row_group(index)
            columns = [group.column(at) for at in range(group.num_columns)]
            codecs = sorted({column.compression for column in columns})
            size = sum(column.total_compressed_size for column in columns)
            print(json.dumps({"codecs": codecs, "rows": group.num_rows, "bytes": size}))


def print_versions():
    names = ["deltalake", "duckdb", "pyarrow"]
    print(json.dumps({name: importlib.import_module(name).__version__ for name in names}))
    for extension in ("delta", "httpfs", "postgres_scanner"):
        connect([extension])


if __name__ == "__main__":
    main()
