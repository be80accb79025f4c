"""The raw limit: what the server and the wire allow, with nothing decoded and nothing written.

    raw.py URL TABLE...

Two connections read one half of each table's pages, as binary COPY under one exported
snapshot, straight from the socket into one buffer that is overwritten. Walking the bytes would
cost time of ours; only the end of the stream is looked at, where the server says how many rows
it sent.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import struct
import sys
import threading
from urllib.parse import unquote, urlsplit

BUFFER_BYTES = 256 << 10
# CopyDone, CommandComplete "COPY n", ReadyForQuery: how a COPY ends in good order.
END_OF_COPY = re.compile(rb"c\0\0\0\x04C\0\0\0.COPY (\d+)\0Z\0\0\0\x05[TI]$", re.DOTALL)


def main():
    url, *tables = sys.argv[1:]
    coordinator = Connection(url)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    coordinator.query(begin)
    snapshot = coordinator.query("SELECT pg_export_snapshot()")[0]
    middles = {table: coordinator.query(middle_page(table))[0] for table in tables}
    counts = {}

    def drain(half):
        connection = Connection(url)
        connection.query(begin)
        connection.query(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        for table, middle in middles.items():
            query = f"SELECT * FROM {table} WHERE ctid {half} '({middle},0)'::tid"
            counts[table, half] = connection.drain(f"COPY ({query}) TO STDOUT (FORMAT binary)")

    halves = ("<", ">=")
    workers = [threading.Thread(target=drain, args=(half,)) for half in halves]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(counts) != len(tables) * len(halves):
        sys.exit("a worker failed")
    print(json.dumps({table: sum(counts[table, half] for half in halves) for table in tables}))


def middle_page(table):
    return f"SELECT pg_relation_size('{table}') / current_setting('block_size')::int / 2"


def query_one(url, sql):
    """The first column of a query's first row, as text."""
    return Connection(url).query(sql)[0]


class Connection:
    """As much of PostgreSQL's protocol as the raw limit needs."""

    def __init__(self, url):
        parts = urlsplit(url)
        user, password = unquote(parts.username), unquote(parts.password or "")
        self.socket = socket.create_connection((parts.hostname, parts.port or 5432))
        database = parts.path.lstrip("/")
        names = f"user\0{user}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!ii", len(names) + 8, 196608) + names)
        self.authenticate(password)
        self.results()

    def authenticate(self, password):
        kind, body = self.message()
        method = struct.unpack("!i", body[:4])[0]
        if method == 0:
            return
        if method != 10 or b"SCRAM-SHA-256\0" not in body:
            raise RuntimeError("only SCRAM-SHA-256 and trust are spoken here")
        first = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
        begin = ("n,," + first).encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(begin)) + begin)
        kind, body = self.message()
        server_first = body[4:].decode()
        fields = dict(field.split("=", 1) for field in server_first.split(","))
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={fields['r']}"
        signed = f"{first},{server_first},{last}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.send(b"p", f"{last},p={base64.b64encode(proof).decode()}".encode())
        self.message()
        self.message()

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def message(self):
        header = self.exactly(5)
        body = self.exactly(struct.unpack("!i", header[1:])[0] - 4)
        if header[:1] == b"E":
            raise RuntimeError(body.replace(b"\0", b" ").decode(errors="replace"))
        return header[:1], body

    def exactly(self, count):
        data = self.socket.recv(count, socket.MSG_WAITALL)
        if len(data) != count:
            raise RuntimeError("the server closed the connection")
        return data

    def results(self):
        """The first column of every row, until the server is ready for the next query."""
        rows = []
        while True:
            kind, body = self.message()
            if kind == b"D":
                length = struct.unpack("!i", body[2:6])[0]
                rows.append(body[6 : 6 + length].decode())
            elif kind == b"Z":
                return rows

    def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        return self.results()

    def drain(self, copy):
        """Reads the whole answer to a COPY, keeps none of it, and returns the number of rows."""
        self.send(b"Q", copy.encode() + b"\0")
        if self.message()[0] != b"H":
            raise RuntimeError("not a COPY")
        buffer = bytearray(BUFFER_BYTES)
        view = memoryview(buffer)
        tail = b""
        while True:
            count = self.socket.recv_into(buffer)
            if count == 0:
                raise RuntimeError("the server closed the connection")
            tail = (tail + bytes(view[max(0, count - 64) : count]))[-64:]
            end = END_OF_COPY.search(tail)
            if end:
                return int(end[1])


if __name__ == "__main__":
    main()
