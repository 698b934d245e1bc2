"""A private PostgreSQL for tests: its own folder, its own port, only loopback, gone afterwards.

The server refuses to run as root, so its binaries then run as another user (`postgres`, else `nobody`) on a
folder that belongs to that user.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.ports import free_port

ADVICE = (
    "PostgreSQL's server binaries are missing: install the package postgresql, or set ALIGNLOOP_TEST_SKIP_POSTGRES=1."
)
START_S = 60.0


def binaries() -> Path | None:
    """The folder of initdb and postgres: the newest Debian one, else what is on the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    if on_path:
        folders.insert(0, Path(on_path).resolve().parent)
    return next((folder for folder in reversed(folders) if (folder / "postgres").exists()), None)


class PrivatePostgres:
    """One server. `start` raises `RuntimeError` with the server's log when it does not come up."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._user = _server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="alignloop-pg-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._user:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", "alignloop", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.resume()

    def resume(self) -> None:
        """Start the server on the data there are, after `start` or `halt`."""
        data = self._folder / "data"
        options = ["-D", str(data), "-p", str(self._port), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", f"unix_socket_directories={self._folder}", "-c", "max_connections=200"]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._as_user("postgres", *options), stdout=log, stderr=log, cwd="/", start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def halt(self) -> None:
        """End the server and every connection to it; the data stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(2)  # SIGINT: fast shutdown
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """A fresh, empty database; returns its URL."""
        import psycopg

        name = "test_" + secrets.token_hex(6)
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def drop_database(self, url: str) -> None:
        import psycopg

        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _url(self, database: str) -> str:
        return f"postgresql://alignloop@127.0.0.1:{self._port}/{database}"

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(self._as_user(program, *arguments), capture_output=True, text=True, cwd="/", check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")

    def _as_user(self, program: str, *arguments: str) -> Sequence[str]:
        command = [str(self._bin / program), *arguments]
        if self._user is None:
            return command
        identity = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *identity, "--pdeathsig=INT", "--", *command]


def _server_user() -> pwd.struct_passwd | None:
    """Whom to run the server as: nobody else unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("There is no user postgres or nobody to run PostgreSQL as.")
