"""Trying a call to the Hub again: only what may pass by itself, a few times, with one line for each try.

The client tries requests that carry a file again by itself; those that ask, that make a repository and that commit it
does not.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def retried(call: Callable[[], T], say: Callable[[str], None] = lambda line: None, tries: int = 5) -> T:
    """What ``call()`` returns, called again while its failure may pass: after 1 s, after twice as long each time, or after
    what the server asks for. ``say`` gets one line for each try."""
    pause = 1.0
    for number in range(2, tries + 1):
        try:
            return call()
        except Exception as error:  # what does not pass by itself is raised again
            pause = max(pause, _asked_wait(error))
            if not is_passing(error):
                raise
            say(f"{reason(error)}; try {number} of {tries} in {pause:g} s")
        time.sleep(pause)
        pause *= 2
    return call()


def is_passing(error: BaseException) -> bool:
    """Whether a failure may pass by itself: the server's own trouble or a lost connection, not a refusal.

    A large file that failed comes as RuntimeError with the trouble as its cause.
    """
    from huggingface_hub.errors import HfHubHTTPError

    for link in _chain(error):
        if isinstance(link, HfHubHTTPError):
            return link.response.status_code == 429 or link.response.status_code >= 500
        if isinstance(link, json.JSONDecodeError):  # a page of words from a proxy, where the Hub would give JSON
            return True
        # The client's network errors are httpx's before huggingface_hub 2 and httpx2's since, and derive from no
        # built-in.
        kinds = [(kind.__name__, kind.__module__.split(".")[0]) for kind in type(link).__mro__]
        if any(name == "TransportError" and module in ("httpx", "httpx2") for name, module in kinds):
            return True
    return False


def reason(error: BaseException) -> str:
    """One line that says what went wrong, from the innermost cause that the Hub or the network gave."""
    words = []
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(link, json.JSONDecodeError):
            words.append("the answer is not JSON: is it the Hub's, or a proxy's?")
        elif response is None:
            words.append(" ".join(str(link).split()) or type(link).__name__)
        else:  # the client's own text goes over several lines, with addresses and a request's id
            message = getattr(link, "server_message", None) or response.reason_phrase
            words.append(f"HTTP {response.status_code}: {' '.join(message.split())}")
    text = words[0].rstrip(".") + (f" ({words[-1].rstrip('.')})" if words[-1] != words[0] else "")
    if type(error) is ConnectionError:
        text += " (uploads by Xet? HF_HUB_DISABLE_XET=1 uploads without it)"
    return text


@contextlib.contextmanager
def brief_client(say: Callable[[str], None]) -> Iterator[None]:
    """Let the client's own tries say one line each: what it logs is two, with addresses longer than a line."""
    logger, brief = logging.getLogger("huggingface_hub.utils._http"), _Brief(say)
    logger.addFilter(brief)
    try:
        yield
    finally:
        logger.removeFilter(brief)


class _Brief(logging.Filter):
    """Says what the client's ``… thrown while requesting …`` and ``Retrying in …`` mean together; both go no further."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say, self.trouble = say, "the connection failed"

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if found := re.match(r"(.*) thrown while requesting (\w+)", text, re.DOTALL):
            status = re.fullmatch(r"HTTP Error (\d+)", found[1])
            trouble = f"HTTP {status[1]}" if status else " ".join(found[1].strip("'").split())
            self.trouble = f"{'an upload' if found[2] == 'PUT' else 'a request'}: {trouble}"
            return False
        if found := re.search(r"(?:Retrying in|Waiting) ([\d.]+)s.*\[Retry (\d+)/(\d+)\]", text):
            self.say(f"{self.trouble}; try {int(found[2]) + 1} of {int(found[3]) + 1} in {float(found[1]):g} s")
            return False
        return True


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _asked_wait(error: BaseException) -> float:
    """Seconds that the server asks to wait; 0 where it does not."""
    asked = [getattr(getattr(link, "response", None), "headers", {}).get("Retry-After", "") for link in _chain(error)]
    return max((float(text) for text in asked if re.fullmatch(r"\d{1,6}", text)), default=0.0)
