"""A stand-in for the vendors of models, whose API each framework is told to find here: it refuses all, and keeps the tools."""

import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Vendors:
    """APIs at `url/VENDOR`, by whatever path a vendor's SDK adds to that."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        vendors = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                vendors.asked[self.path.split("/")[1]] = body.get("tools") or body.get("toolConfig", {}).get("tools", [])
                # No SDK asks again after this.
                self.send_response(400)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def take(self) -> dict[str, Any]:
        """The tools that each vendor was told of since the last time."""
        asked, self.asked = self.asked, {}
        return asked


async def refused(asking: Awaitable[Any]) -> None:
    """Waits until a model has been asked, which it refuses; that it was asked is for the stand-in to say."""
    try:
        await asking
    except Exception as error:
        print(f"{type(error).__name__}: {str(error)[:300]}", file=sys.stderr)


def tell(url: str, tools: Any) -> None:
    """Tells a vendor of tools, for a framework that leaves the request to others."""
    request = urllib.request.Request(url, json.dumps({"tools": tools}).encode(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        error.close()
