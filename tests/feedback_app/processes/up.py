"""A running `alignloop up` in a home of its own, as tests start it."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[3]


class Up:
    """A running `alignloop up` in a home of its own."""

    def __init__(self, home: Path, port: int, vllm_port: int, **more: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ALIGNLOOP_")}
        env.pop("DATABASE_URL", None)
        self.env = env | {
            "ALIGNLOOP_HOME": str(home),
            "ALIGNLOOP_PORT": str(port),
            "ALIGNLOOP_VLLM_PORT": str(vllm_port),
            "PYTHONPATH": str(ROOT),
            **more,
        }
        self.home, self.port = home, port
        self.said = home.parent / "said.txt"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "feedback_app", "up"],
                stdout=file,
                stderr=file,
                env=self.env,
                cwd=home.parent,
                start_new_session=True,
            )
        self.handle = psutil.Process(self.process.pid)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET; (0, "") while nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another `alignloop` on the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "feedback_app", *words],
            capture_output=True,
            text=True,
            env=self.env,
            timeout=120,
            check=False,
        )

    def child(self, name: str) -> psutil.Process | None:
        """The child that runs `alignloop NAME`."""
        for child in self.handle.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a dead one that has not been waited for yet
                if child.cmdline()[-1:] == [name]:
                    return child
        return None

    def family(self) -> list[psutil.Process]:
        return self.handle.children(recursive=True)
