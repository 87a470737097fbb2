"""Marks of tests by kind. Fixtures are in `tests/support/fixtures.py`. No test needs a network: hub names are tried offline."""

import os
import re

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# What the inner loop leaves out: by directories, by names of files and tests, and by fixtures.
DIRECTORIES = {"integration": "integration"} | dict.fromkeys(("components", "contract", "models", "serve"), "model")
NAMES = {
    "train": re.compile(r"test_training|test_adapters|overfit|learn|_trained|train(s|ing)?\b|gradient"),
    "process": re.compile(
        r"faults/|bulk/|serve/test_(page|process)|process|fork|spawn|kill|without_presidio"
        r"|from_spacys_own|end_to_end_(json|table)|nothing_heavy|after_import_alone"
    ),
}
PROCESS_FIXTURES = {"service", "shared_url", "installed"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by kind."""
    for item in items:
        name = item.nodeid.partition("[")[0]
        kinds = {kind for kind, pattern in NAMES.items() if pattern.search(name)}
        kinds |= {kind for directory, kind in DIRECTORIES.items() if directory in item.path.parts}
        if not PROCESS_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            kinds.add("process")
        for kind in kinds:
            item.add_marker(kind)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures. Their imports take seconds, which the process that only hands out tests can do without."""
    hands_out = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if not hands_out:
        config.pluginmanager.import_plugin("tests.support.fixtures")
