"""Run scripts of the checkout in this process: a new one takes many seconds to import everything."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object) -> str:
    """Run a script of `scripts/` as `python scripts/NAME ARGUMENTS` would, from the root of the checkout.

    RETURNS (str): What it prints.
    RAISES (AssertionError): When its exit status is not 0.
    """
    script = ROOT / "scripts" / name
    before, printed = (sys.argv, sys.path, os.getcwd()), io.StringIO()
    sys.argv, sys.path = [str(script), *map(str, arguments)], [str(script.parent), *sys.path]
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise AssertionError(printed.getvalue()) from done
    finally:
        sys.argv, sys.path = before[:2]
        os.chdir(before[2])
    return printed.getvalue()
