"""The peers: each unloads one table into one zstd Parquet file, as its users would do it fast.

    peers.py NAME URL TABLE KEY FOLDER      KEY is an integer column to split the table by
    peers.py count FOLDER                   prints the rows of all Parquet files below a folder

Every module is imported where it is used: a contender pays for its own imports only.
"""

import sys
from pathlib import Path

WORKERS = 2


def duckdb(url, table, _key, folder):
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
    target = f"{folder}/{table}.parquet"
    connection.execute(
        f"COPY source.public.{table} TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )


def connectorx(url, table, key, folder):
    import connectorx
    from pyarrow import parquet

    rows = connectorx.read_sql(
        url,
        f"SELECT * FROM {table}",
        partition_on=key,
        partition_num=WORKERS,
        return_type="arrow",
    )
    parquet.write_table(rows, f"{folder}/{table}.parquet", compression="zstd")


def adbc(url, table, _key, folder):
    from adbc_driver_postgresql import dbapi
    from pyarrow import parquet

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        batches = cursor.fetch_record_batch()
        target = f"{folder}/{table}.parquet"
        with parquet.ParquetWriter(target, batches.schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)


def count(folder):
    from pyarrow import parquet

    files = Path(folder).rglob("*.parquet")
    print(sum(parquet.read_metadata(file).num_rows for file in files))


if __name__ == "__main__":
    {"duckdb": duckdb, "connectorx": connectorx, "adbc": adbc, "count": count}[sys.argv[1]](
        *sys.argv[2:]
    )
