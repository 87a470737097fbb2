"""How long a client waits between its tries. What it sends, and what it makes of answers, is in test_client."""

from tenacity import Future, RetryCallState

from spacy_openner.llm.responses import Fault
from spacy_openner.llm.server import backoff


def after(attempt, fault):
    state = RetryCallState(None, None, (), {})
    state.attempt_number, state.outcome = attempt, Future.construct(attempt, fault, has_exception=True)
    return state


def test_waits_double_up_to_the_longest():
    longest = [max(backoff(after(attempt, Fault("server", "")), 6.0) for _ in range(300)) for attempt in range(1, 6)]
    assert [round(seconds) for seconds in longest] == [1, 2, 4, 6, 6]


def test_waits_as_long_as_the_server_asks():
    assert backoff(after(1, Fault("rate_limit", "", wait=9.0)), 6.0) == 9.0
