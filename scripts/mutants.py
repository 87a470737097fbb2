"""Change the code of modules in small ways, one at a time, and say which changes no test of the module notices.

    pip install mutmut
    python scripts/mutants.py decoding/word_matching labels

`mutmut` makes the mutants. Its own command runs all tests before the first of them; here the tests of one module are
collected once, in a process that has imported everything, and each mutant is a fork of it. Tests that start Python anew
are left out: they would not see the mutant.
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline import set_mutant_under_test

ROOT = Path(__file__).resolve().parents[1]
# Modules whose tests have another name than theirs.
TESTS = {
    "decoding/tag_trie": ["decoding/test_copy_constrained.py"],
    "prompts/base": ["prompts"],
    "prompts/gner": ["prompts/test_gner.py", "prompts/test_round_trips.py"],
    "prompts/toner": ["prompts/test_toner.py", "prompts/test_round_trips.py"],
    "prompts/lar": ["prompts/test_lar.py", "prompts/test_lar_answers.py", "prompts/test_round_trips.py"],
    "scoring/positions": ["scoring"],
    "lar/alignment": ["lar/test_alignment.py", "lar/test_alignment_votes.py"],
}
PURE = {
    "decoding": "mention_placement mention_search span_index span_selection text_boundaries type_selection word_matching "
    "tag_trie copy_constrained",
    "scoring": "entities gold positions types",
    "lar": "alignment decisions table",
    "calibration": "threshold_search predictions",
    "prompts": "base context gner json_schema lar multiple_choice toner uniner",
}


class Mutated(MetaPathFinder):
    """Lets a module be imported with all of its mutants inside, one of which can be switched on."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find the one module; leave all others to the usual finders."""
        if name != self.name:
            return None
        loader = SourceFileLoader(name, str(self.path))
        loader.get_code = lambda _: compile(self.code, str(self.path), "exec")  # type: ignore[method-assign]
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class Forks:
    """Runs the tests that pytest has collected once for each mutant, each time in a fork."""

    def __init__(self, module: str, mutants: Sequence[str]) -> None:
        self.module, self.mutants = module, mutants
        self.survived: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Have failing examples neither made small nor kept."""
        # pytest rewrites its asserts first.
        import hypothesis

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        for profile, examples in (("few", 15), ("many", 100)):
            hypothesis.settings.register_profile(
                profile, hypothesis.settings.default, phases=phases, database=None, max_examples=examples
            )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Run properties last: tests of a few values notice most mutants sooner."""
        items.sort(key=lambda item: hasattr(getattr(item, "obj", None), "hypothesis"))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all mutants, after the tests have passed without one."""
        if not self._passes(session.items, "", 600, "many"):
            raise pytest.UsageError(f"the tests of {self.module} fail without a mutant")
        seconds = 2 + 5 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        self.survived = [
            mutant
            for mutant in self.mutants
            if all(self._passes(session.items, f"{self.module}.{mutant}", seconds, n) for n in ("few", "many"))
        ]
        return True

    def _passes(self, items: Sequence[pytest.Item], mutant: str, seconds: float, examples: str) -> bool:
        def work() -> bool:
            import hypothesis

            hypothesis.settings.load_profile(examples)
            set_mutant_under_test(mutant)
            for item, after in zip(items, [*items[1:], None], strict=True):
                if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
                    return False
            return True

        return _in_fork(work, seconds)


def _in_fork(work: Callable[[], bool], seconds: float) -> bool:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    status = 1
    with contextlib.suppress(BaseException):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        # Processor time, which does not pass while others use the machine.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        status = 0 if work() else 1
    os._exit(status)


def run_module(name: str) -> tuple[int, list[str]]:
    """Run the mutants of a module.

    name (str): Of the module, as a path in the package without its ending.
    RETURNS (tuple[int, list[str]]): How many mutants there are, and which of them no test notices.
    """
    path = ROOT / "spacy_openner" / f"{name}.py"
    own = Path(name).with_name(f"test_{Path(name).name}.py")
    tests = TESTS.get(name, [str(own)])
    mutated = mutate_file_contents(str(path), path.read_text(encoding="utf8"))
    module = f"spacy_openner.{name.replace('/', '.')}"
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.meta_path.insert(0, Mutated(module, path, mutated.code))
    set_mutant_under_test("")
    forks = Forks(module, mutated.mutant_names)
    options = [
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=0",
        "--hypothesis-seed",
        "0",
        "-m",
        "not (slow or process)",
        # Packages that `main` has imported bring in plugins.
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    status = pytest.main([*options, *(str(ROOT / "tests" / path) for path in tests)], plugins=[forks])
    if status != 0:
        raise SystemExit(f"The tests of {name} could not be run: pytest ends with {status}.")
    return len(mutated.mutant_names), forks.survived


def main() -> None:
    """Run the mutants of some modules, each module in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="such as decoding/word_matching; all pure ones if none")
    pure = ["labels", "span_groups", *(f"{folder}/{name}" for folder in PURE for name in PURE[folder].split())]
    modules = parser.parse_args().modules or pure
    # Once for all modules, which are forks.
    for package in ("spacy", "torch", "transformers"):
        importlib.import_module(package)
    for name in modules:
        pid = os.fork()
        if not pid:
            n, survived = run_module(name)
            print(f"\n{name}: {n} mutants, {len(survived)} survived", *survived, sep="\n  ", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
