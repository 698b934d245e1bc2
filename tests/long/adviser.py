"""A scripted adviser of known taste behind an OpenAI-compatible address on loopback, for `constitution`.

It is asked which of two answers follows a principle better, and says the one that its taste likes better, whatever the
principle. Where the taste sees no difference it says A in either order, which `constitution` takes for no choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from alignment.evaluation.tastes import Taste

_ASKED = re.compile(r"\n\nAnswer A: (.*)\nAnswer B: (.*)\n\nPrinciple: ", re.DOTALL)


def choice(taste: Taste, question: str) -> str:
    """A or B. Raises `ValueError` for another question than the one that it knows."""
    found = _ASKED.search(question)
    if found is None:
        raise ValueError("this adviser only chooses between two answers")
    first, second = map(taste.score, found.groups())
    return "B" if second - first > taste.threshold else "A"


@contextmanager
def adviser(taste: Taste) -> Iterator[str]:
    """Serves until it is left; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": choice(taste, asked["messages"][-1]["content"])}
            body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a study's standard error is for its lines."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
