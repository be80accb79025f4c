"""An S3 server in memory on a free loopback port, until standard input ends.

Prints its port as the first line. Whoever started it holds the other end of its standard input,
so it ends with them however they end.
"""

import logging
import sys

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
