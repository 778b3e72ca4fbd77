"""The bare limit of a push when sender and receiver share a machine: seconds to bring a folder's files from one process
to another over one connection, hashed by both and written to disk.

    python benchmarks/two_processes.py FOLDER TARGET [--forced]

Each end holds 256 KiB of memory and hashes what is in it before it sends or writes it, so that nothing is read twice.
Nobody asks who sends, and nothing is known of parts, versions or lost connections. `--forced` forces each file to the
disk when it is whole, as a registry has to.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import time
from pathlib import Path

AT_ONCE = 256 << 10


def receive(listening: socket.socket, target: Path, files: list[tuple[str, int]], *, forced: bool) -> None:
    """Write the files and send back their digests."""
    connection, _ = listening.accept()
    buffer, digests = memoryview(bytearray(AT_ONCE)), []
    for name, size in files:
        digest, left = hashlib.sha256(), size
        with (target / name).open("wb", buffering=0) as file:
            while left:
                piece = buffer[: connection.recv_into(buffer[: min(left, AT_ONCE)])]
                if not piece:
                    raise SystemExit("The connection ended early.")
                left -= len(piece)
                digest.update(piece)
                while piece:
                    piece = piece[file.write(piece) :]
            if forced:
                os.fsync(file)
        digests.append(digest.digest())
    connection.sendall(b"".join(digests))


def send(port: int, source: Path, files: list[tuple[str, int]]) -> None:
    """Send the files; ends when the receiver has all and says the same digests."""
    buffer, digests = memoryview(bytearray(AT_ONCE)), []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for name, _ in files:
            digest = hashlib.sha256()
            with (source / name).open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    digest.update(buffer[:count])
                    connection.sendall(buffer[:count])
            digests.append(digest.digest())
        said = connection.recv(32 * len(files), socket.MSG_WAITALL)
    if said != b"".join(digests):
        raise SystemExit("Other bytes arrived than were sent.")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("target", type=Path)
    options.add_argument("--forced", action="store_true")
    chosen = options.parse_args()
    files = [(path.name, path.stat().st_size) for path in sorted(chosen.folder.iterdir())]
    chosen.target.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if not (receiver := os.fork()):
            receive(listening, chosen.target, files, forced=chosen.forced)
            return
        began = time.perf_counter()
        send(listening.getsockname()[1], chosen.folder, files)
        print(time.perf_counter() - began)
    os.waitpid(receiver, 0)


if __name__ == "__main__":
    main()
