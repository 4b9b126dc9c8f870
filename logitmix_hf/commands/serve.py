"""``logitmix serve RUN``: a classifier behind HTTP, with the answers of ``logitmix predict``; ``--ui`` adds a page."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from logitmix_hf.errors import UserError, check_choice, check_number, one_line, say
from logitmix_hf.flags import FlagParser, flag, word
from logitmix_hf.serving.host import DTYPES


@dataclass(frozen=True)
class ServeSettings:
    """What is served, where, and within which limits."""

    run: str = word("RUN", "folder of a run, Hub id, or local folder", "a model", "runs/NAME, a Hub id or a folder")
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    hub_token: str | None = flag("model", None, "token; default the one you logged in with")
    device: str | None = flag("model", None, "cpu, cuda, cuda:1, mps …; default an accelerator where there is one")
    dtype: str = flag("model", "float32", f"type of the weights: {', '.join(DTYPES)}")
    max_length: int | None = flag(
        "model", None, "tokens a text is cut to; default the run's, else what the model reads"
    )
    max_pixels: int = flag("model", 100_000_000, "a larger image is not decoded: it may be made to fill the memory")
    host: str = flag("server", "127.0.0.1", "address to listen on; 0.0.0.0 is every one: then anybody may ask")
    port: int = flag("server", 8000, "port; 0: any that is free, which is told")
    ui: bool = flag("server", False, "also a page to try it, at /ui")
    batch_size: int = flag("limits", 32, "rows that the model reads at once")
    max_rows: int = flag("limits", 1024, "rows of one request")
    max_body: int | None = flag(
        "limits", None, "MiB of one request; default 32 of images, 4 of texts, which take seconds"
    )
    max_waiting: int = flag("limits", 4096, "rows that may wait; more are refused with 503")

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, DTYPES)
        check_number("port", self.port, low=0, high=65535)
        for name in ("batch_size", "max_rows", "max_body", "max_waiting", "max_pixels"):
            check_number(name, getattr(self, name), low=1, optional=True)
        check_number("max_length", self.max_length, low=4, optional=True)
        for package in ("fastapi", "uvicorn", *(("gradio",) if self.ui else ())):
            if importlib.util.find_spec(package) is None:
                raise UserError(f'logitmix serve needs {package}: pip install "logitmix_hf[serve]".')


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([ServeSettings], prog="logitmix serve", description=__doc__).parse(argv)[0]
    listening = _listen(settings.host, settings.port)  # before the model, which takes seconds
    with listening:
        # Here, and not at the top: torch and transformers take seconds, and a misspelt flag needs neither.
        import uvicorn

        from logitmix_hf.modality import TEXT
        from logitmix_hf.serving.classifier import find_classifier
        from logitmix_hf.serving.host import bars_for_people
        from logitmix_hf.serving.server import Limits, make_app

        found = find_classifier(settings.run, settings.model_revision, settings.hub_token)
        with bars_for_people():
            classifier = found.load(settings.device, settings.dtype, settings.max_length)
        classifier = replace(classifier, max_pixels=settings.max_pixels)
        body = settings.max_body or (4 if classifier.modality == TEXT else 32)
        limits = Limits(settings.max_rows, body * 2**20, settings.max_waiting)
        app = make_app(classifier, settings.batch_size, limits, settings.host)
        if settings.ui:
            from logitmix_hf.serving.page import with_page

            app = with_page(app, classifier)
        host, port = listening.getsockname()[:2]
        place = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        say(f"{settings.run} answers at {place}/predict{f', a page is at {place}/ui' if settings.ui else ''}", out=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, so that a port that is taken is a mistake of one line.

    Raises:
        UserError: where that is not possible.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(2048)
    except OSError as problem:
        raise UserError(
            f"--host {host} --port {port} cannot be listened on ({one_line(problem)}): take another port, or 0 for any."
        ) from None
    return made
