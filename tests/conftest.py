"""Fixtures: the real logs, a log of three users and four items that can be checked by hand, and
models trained on both.
"""

import pytest
from helpers import KNOWN, SMALL, Frames, before, embedded, tiny_frames, trained, with_listing

from course_lib.log import EventLog
from course_lib.state import Settings, State


@pytest.fixture(scope="session")
def retail() -> EventLog:
    return embedded("online_retail")


@pytest.fixture(scope="session")
def movies() -> EventLog:
    return embedded("movie_tweetings")


@pytest.fixture
def frames() -> Frames:
    return tiny_frames()


@pytest.fixture(scope="session")
def tiny() -> EventLog:
    """Codes: mug 0, bag 1, lamp 2, vase 3; ann 0, bob 1, cid 2."""
    return EventLog.from_frame(**tiny_frames())


@pytest.fixture(scope="session")
def tiny_state(tiny: EventLog) -> State:
    """All five days of the tiny log, learned. Shared: no test may change it."""
    return trained(tiny, SMALL, tiny.days)


@pytest.fixture(scope="session")
def retail_state(retail: EventLog) -> State:
    """The first three days of the real log, learned. Shared: no test may change it."""
    return trained(retail, Settings(dim=16, hidden=16, device="cpu"), retail.days[:3])


@pytest.fixture(scope="session")
def known() -> EventLog:
    """The tiny log's first two days, which nobody knows the rest from."""
    return before(EventLog.from_frame(**with_listing(tiny_frames())), KNOWN)


@pytest.fixture(scope="session")
def knowing(known: EventLog) -> State:
    """What is before KNOWN, learned. Shared: no test may change it."""
    return trained(known, SMALL, known.days)
