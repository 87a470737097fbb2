"""Run `python ARGUMENTS` in a fork of this process, which has imported everything: a new one takes many seconds to begin.

It has streams, a working directory, an environment and an exit status of its own, and can be killed. What a process
imports, or does with pickles before it has imported anything, needs a new one.
"""

import io
import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

QUIET_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


class ForkedPython:
    """A process that `start_python` has started.

    stdin (IO[bytes] | None): Its standard input, where that is a pipe.
    returncode (int | None): Its exit status, or the negative number of the signal that ended it, once that was asked.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def start_python(
    arguments: list[Any],
    *,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
    cwd: str | Path | None = None,
    env: dict[str, str] | None = None,
    preexec_fn: Callable[[], Any] | None = None,
    start_new_session: bool = False,
) -> ForkedPython:
    """Start a process.

    arguments (list[Any]): What stands behind `python`: `-m MODULE ...`, `-c CODE ...`, or a script and its arguments.
    stdin, stdout, stderr (IO[Any] | None): Open files; this process' own where there is none.
    """
    pid = os.fork()
    if pid:
        return ForkedPython(pid)
    status = 1
    try:
        if start_new_session:
            os.setsid()
        _take_streams(stdin, stdout, stderr)
        os.chdir(cwd or ".")
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        _forget_pytest()
        if preexec_fn is not None:
            preexec_fn()
        status = _exit_status(lambda: _run(list(map(str, arguments))))
    finally:
        os._exit(status)


def run_python(arguments: list[Any], *, input: str | bytes = b"", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and return what it wrote; see `start_python`."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(input.encode() if isinstance(input, str) else input)
        stdin.seek(0)
        status = start_python(arguments, stdin=stdin, stdout=stdout, stderr=stderr, **options).wait()
        written = []
        for stream in (stdout, stderr):
            stream.seek(0)
            written.append(stream.read().decode())
    return subprocess.CompletedProcess(arguments, status, *written)


def _take_streams(*streams: IO[Any] | None) -> None:
    for number, stream in enumerate(streams):
        if stream is not None:
            os.dup2(stream.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(buffer, encoding="utf8", errors=errors, line_buffering=number == 2)
        for number, buffer, errors in (
            (0, io.BufferedReader(io.FileIO(0, "r", closefd=False)), "strict"),
            (1, io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "strict"),
            (2, io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "backslashreplace"),
        )
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _forget_pytest() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    logging.getLogger().handlers.clear()
    warnings.resetwarnings()
    for kind in QUIET_WARNINGS:
        warnings.simplefilter("ignore", kind)


def _run(arguments: list[str]) -> None:
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *others[1:]]
        exec(compile(others[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")


def _exit_status(work: Callable[[], Any]) -> int:
    status = 0
    try:
        work()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 0 if done.code is None else 1
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # As the interpreter says it.
            status = status or 120
    return status
