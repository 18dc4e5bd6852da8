"""The service: nominations over HTTP from what a trainer publishes, and purchases for it to learn.

    python -m course_lib.service FOLDER [--port 8000]

`FOLDER` is one shop's: `log` is what `EventLog.save` wrote, `versions` what is published, `keep`
what the trainer keeps, and `shards` the purchases, which the service writes and the trainer learns.
It is bound to 127.0.0.1, and other machines can't reach it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from course_lib.files import alone
from course_lib.frames import plain, short
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.stream import Follower, Purchases
from course_lib.versions import Version

HOST, PAUSE = "127.0.0.1", 0.2  # seconds between two looks for what is new
MOST, BYTES, SECONDS = 1_000, 4_096, 5  # items of an answer; of a request's body; to wait for one
DRAINED = 2**25  # bytes of too long a body that are read, so that its client hears why
TEXTS = {404: "nothing is here; ask /health.", 405: "this takes another method; try the other."}
logger = logging.getLogger(__name__)

# -- what is asked --------------------------------------------------------------------------------


class OneVersion(Nominator):
    """A nominator that says which version an answer is from. No answer is from two: questions and
    updates take turns.
    """

    def __init__(self, *arguments, **options) -> None:
        self._turn = threading.Lock()
        super().__init__(*arguments, **options)

    def update(self, *arguments) -> None:
        with self._turn:
            super().update(*arguments)

    def answer(self, user, k: int) -> tuple[Version, np.ndarray, np.ndarray]:
        """The version, and what `best` answers from it."""
        with self._turn:
            version = self._published()
            return version, *self._best(version, user, k)


class Service:
    """What the endpoints share: what is served, purchases, and counts of what was answered.

    Raises ValueError for a folder without a log.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.trouble, self.published = Path(folder), None, float("nan")
        log = EventLog.load(self.folder / "log")
        self.follower = Follower(
            self.folder / "keep", log, lambda log: OneVersion(log, folder=self.folder)
        )
        self.nominator = self.follower.nominator
        self.disk = ThreadPoolExecutor(1)  # one purchase after the other
        self.registry, labels = CollectorRegistry(), ["endpoint", "status"]
        self.requests = self.metric(Counter, "requests", "answers", labels)
        self.seconds = self.metric(Histogram, "seconds", "from head to answer", labels[:1])
        self.number = self.metric(Gauge, "version", "number of the version that is served")
        self.items = self.metric(Gauge, "index_items", "items in its index")
        age = self.metric(Gauge, "version_age_seconds", "since it was published")
        age.set_function(lambda: time.time() - self.published)
        self.follow()
        self.purchases = Purchases(self.folder / "shards", self.nominator)

    def metric(self, kind: type, name: str, text: str, labels: Sequence[str] = ()):
        return kind(f"nominator_{name}", text, labels, registry=self.registry)

    def follow(self) -> None:
        """Serve what is new; what fails leaves all as it was, and is tried again."""
        try:
            self.follower.poll()
            if (version := self.nominator.version) is not None:
                card = self.folder / "versions" / version.name / "version.json"
                self.published = card.stat().st_mtime
                self.number.set(int(version.name[1:]))
                self.items.set(len(version.index))
            self.trouble = None
        except Exception as error:
            trouble, self.trouble = self.trouble, str(error) or type(error).__name__
            if self.trouble != trouble:
                logger.warning(self.trouble)

    def follow_forever(self) -> None:
        while True:
            time.sleep(PAUSE if self.trouble is None else 10 * PAUSE)
            self.follow()


# -- endpoints ------------------------------------------------------------------------------------


class Refused(HTTPError):
    """Says to the client, in a sentence, why there is no answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status)
        self.sentence = sentence


@stream_request_body
class Endpoint(RequestHandler):
    """JSON in and out, in time, counted; whatever fails, the client gets one sentence."""

    def initialize(self, service: Service) -> None:
        self.service, self.sent = service, bytearray()

    def prepare(self) -> None:
        self.clock = asyncio.get_running_loop().call_later(SECONDS, self.late)

    def data_received(self, chunk: bytes) -> None:
        self.sent += chunk[: BYTES + 1 - len(self.sent)]

    def late(self) -> None:
        self.set_status(408)
        self.set_header("Connection", "close")
        self.finish({"error": f"the request took over {SECONDS} s to come; send it in one go."})

    def asked(self, **needed) -> list:
        """The values of the body's object, which has these names; None: there is no default."""
        self.clock.cancel()
        names = ", ".join(needed)
        if len(self.sent) > BYTES:
            raise Refused(413, f"the body is over {BYTES} bytes; send {names} alone.")
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise Refused(415, "the body is no JSON by its Content-Type; say application/json.")
        try:
            body = json.loads(self.sent)
        except (ValueError, RecursionError):
            body = None
        if type(body) is not dict or not {*body} <= {*needed}:
            raise Refused(400, f"the body is no JSON object of {names} and nothing else; send one.")
        for name, value in (needed | body).items():
            if value is None:
                raise Refused(400, f"the body has no {name}; send a JSON object of {names}.")
        return [*(needed | body).values()]

    def checked(self, check: Callable, *arguments):
        try:
            return check(*arguments)
        except ValueError as error:
            raise Refused(400, str(error)) from None

    def version(self) -> Version:
        if (version := self.service.nominator.version) is None:
            why = self.service.trouble or "nothing is published yet; ask again once it is."
            raise Refused(503, why)
        return version

    def write_error(self, status: int, exc_info=(None, None), **_) -> None:
        sentence = getattr(exc_info[1], "sentence", None) or TEXTS.get(
            status, "something failed in the service; what it prints says more."
        )
        self.finish({"error": sentence})

    def on_finish(self) -> None:
        self.clock.cancel()
        known = self.request.path if self.request.path in PATHS else "other"
        self.service.requests.labels(known, self.get_status()).inc()
        self.service.seconds.labels(known).observe(self.request.request_time())

    def on_connection_close(self) -> None:
        self.clock.cancel()


class Nominate(Endpoint):
    def post(self) -> None:
        user, k = self.asked(user=None, k=10)
        if type(k) is not int or not 1 <= k <= MOST:
            raise Refused(400, f"k is {short(k)}; ask for a whole number from 1 to {MOST}.")
        self.checked(self.version().log.user_row, user)
        version, scores, rows = self.service.nominator.answer(user, k)
        items, scores = version.log.items.index[rows].tolist(), scores.tolist()
        self.finish(said(version) | {"items": items, "scores": scores})


class Buy(Endpoint):
    async def post(self) -> None:
        user, item, request = self.asked(user=None, item=None, request=uuid.uuid4().hex)
        log = self.service.nominator.log
        self.checked(log.user_row, user)
        if self.checked(log.item_row, item) < 0:
            raise Refused(404, f"there is no item {short(item)} here; buy one that is listed.")
        if plain(user) is None or type(request) is not str or plain(request) is None:
            what = "user takes text or a whole number of 64 bits, request takes text"
            raise Refused(400, f"{what}; send others.")
        add = partial(self.service.purchases.add, user, item, request)
        writing = asyncio.get_running_loop().run_in_executor(self.service.disk, add)
        try:
            new = await asyncio.wait_for(asyncio.shield(writing), SECONDS)
        except ValueError as error:
            raise Refused(409, str(error)) from None
        except (OSError, asyncio.TimeoutError):
            logger.exception("a purchase was not written")
            how = "send it again, with the same request id"
            raise Refused(503, f"the purchase may not have been written; {how}.") from None
        self.finish({"request": request, "new": new})


class Health(Endpoint):
    def get(self) -> None:
        self.finish({"version": self.version().name, "trouble": self.service.trouble})


class Which(Endpoint):
    def get(self) -> None:
        version = self.version()
        items = {"time": version.time.isoformat(), "items": len(version.index)}
        self.finish(said(version) | items)


class Metrics(Endpoint):
    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.finish(generate_latest(self.service.registry))


PATHS = {
    "/nominate": Nominate,
    "/buy": Buy,
    "/health": Health,
    "/version": Which,
    "/metrics": Metrics,
}


class Nowhere(Endpoint):
    def nothing(self) -> None:
        raise HTTPError(404)

    delete = get = head = options = patch = post = put = nothing


def said(version: Version) -> dict[str, str]:
    """What an answer says of its version: its name, and until when it has learned."""
    return {"version": version.name, "learned_until": str(version.state.learned_until)}


# -- the process ----------------------------------------------------------------------------------


async def serve(service: Service, port: int) -> None:
    """Answer until the process ends. `port`: 0 for any that is free.

    A page of another site that is open in this machine's browser is not heard: it can send neither
    JSON nor a host of this name.
    """
    shared = {"service": service}
    app = Application(
        default_handler_class=Nowhere,
        default_handler_args=shared,
        log_function=lambda handler: None,
    )
    handlers = [(path, handler, shared) for path, handler in PATHS.items()]
    app.add_handlers(r"127\.0\.0\.1|localhost", handlers)
    server = HTTPServer(
        app,
        idle_connection_timeout=2 * SECONDS,
        body_timeout=2 * SECONDS,
        max_body_size=DRAINED,
        max_header_size=2 * BYTES,
    )
    try:
        listener = socket.create_server((HOST, port), backlog=1_024)
    except (OSError, OverflowError):
        raise ValueError(f"port {port} is not to be had; name another with --port.") from None
    listener.setblocking(False)
    server.add_socket(listener)
    threading.Thread(target=service.follow_forever, daemon=True).start()
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with the shop's log and published versions")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a question is too small for two
    if not options.folder.is_dir():
        parser.error(f"there is no folder {options.folder}; write the log to its folder log first.")
    shards = options.folder / "shards"
    try:
        shards.mkdir(exist_ok=True)
        with alone(shards / "writing.lock", "another service is writing"):
            asyncio.run(serve(Service(options.folder), options.port))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
