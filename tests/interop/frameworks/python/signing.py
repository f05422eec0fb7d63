"""Headers that are asked for at each request, for clients of the two libraries that have such a hook."""

from collections.abc import Callable
from typing import Any


def signed(base: type, headers: Callable[[], dict[str, str]]) -> Any:
    """Makes a kind of the library's `Auth` that puts these headers into each request."""

    class Signed(base):
        def auth_flow(self, request: Any) -> Any:
            request.headers.update(headers())
            yield request

    return Signed()
