"""The library that huggingface_hub makes its requests with: httpx before its version 2, httpx2 since."""

from __future__ import annotations

import importlib
from typing import Any

from huggingface_hub.errors import HfHubHTTPError

httpx: Any = importlib.import_module(
    next(name for kind in HfHubHTTPError.__mro__ if (name := kind.__module__.split(".")[0]).startswith("httpx"))
)
