"""Whatever fits the service's OpenAPI description, and whatever nearly does, gets an answer that the description allows."""

import hypothesis
import pytest

from spacy_openner.serve.app import create_app
from spacy_openner.serve.settings import ServeSettings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
pytestmark = pytest.mark.filterwarnings("default")

SMALL = ServeSettings(max_body_bytes=20_000, max_texts=3, max_text_chars=300, max_labels=4, max_label_chars=50)


@pytest.fixture(scope="module")
def api(nlp):
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(nlp, SMALL))


@pytest.mark.parametrize("n", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_answers_fit_the_description(api, n):
    operations = [result.ok() for result in api.get_all_operations()]
    assert {"/entities", "/analyze", "/predict", "/setup", "/healthz"} <= {each.path for each in operations}
    for operation in operations:

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=n, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
        def check(case):
            # How long and how many things may be is set for each service, and is not in the description.
            case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

        check()
