"""The peers: each unloads tables into one zstd Parquet file each, as its users would do it fast.

    peers.py NAME URL FOLDER TABLE:KEY...   KEY is an integer column to split the table by
    peers.py describe FOLDER TABLE...       prints the rows and types of each table's Parquet files

Every module is imported where it is used: a contender pays for its own imports only.
"""

import json
import sys
from pathlib import Path

WORKERS = 2


def duckdb(url, folder, tables):
    import duckdb
    import duckdb_extension_postgres_scanner as scanner

    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    package = Path(scanner.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    connection.execute(f"LOAD '{package / 'postgres_scanner.duckdb_extension'}'")
    connection.execute(f"SET threads = {WORKERS}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"ATTACH '{url}' AS source (TYPE postgres, READ_ONLY)")
    for table in tables:
        target = f"{folder}/{table}.parquet"
        connection.execute(
            f"COPY source.public.{table} TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )


def connectorx(url, folder, tables):
    import connectorx
    from pyarrow import parquet

    for table, key in tables.items():
        rows = connectorx.read_sql(
            url,
            f"SELECT * FROM {table}",
            partition_on=key,
            partition_num=WORKERS,
            return_type="arrow",
        )
        parquet.write_table(rows, f"{folder}/{table}.parquet", compression="zstd")


def adbc(url, folder, tables):
    from adbc_driver_postgresql import dbapi
    from pyarrow import parquet

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")
            batches = cursor.fetch_record_batch()
            target = f"{folder}/{table}.parquet"
            with parquet.ParquetWriter(target, batches.schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)


def describe(folder, tables):
    from pyarrow import parquet

    rows, types = {}, {}
    for file in Path(folder).rglob("*.parquet"):
        # One file of the table's name, or any number in a folder of its name.
        table = next(table for table in tables if table in (file.stem, *file.parent.parts))
        metadata = parquet.read_metadata(file)
        rows[table] = rows.get(table, 0) + metadata.num_rows
        for field in metadata.schema.to_arrow_schema():
            types[field.name] = spelled(field.type)
    print(json.dumps({"rows": rows, "types": types}))


def spelled(kind):
    """As Parquet stores it: what only Arrow tells apart is left away."""
    from pyarrow import BaseExtensionType, types

    if isinstance(kind, BaseExtensionType):
        return spelled(kind.storage_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return f"list<{spelled(kind.value_type)}>"
    return str(kind).replace("large_", "").replace("_view", "").replace("+00:00", "UTC")


def main():
    what, *rest = sys.argv[1:]
    if what == "describe":
        return describe(rest[0], rest[1:])
    url, folder, *keyed = rest
    unload = {"duckdb": duckdb, "connectorx": connectorx, "adbc": adbc}[what]
    return unload(url, folder, dict(pair.split(":") for pair in keyed))


if __name__ == "__main__":
    main()
