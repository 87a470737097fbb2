"""Work in a forked process: killed at some event or byte, short of memory or of time."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Events of the interpreter's audit that change what lies in a directory.
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "shutil.rmtree")


class Outcome(NamedTuple):
    """How a forked process ended.

    value: What the work returned, where that could be sent; or the type and text of what it raised.
    signal: The signal that killed it; 0 if none did.
    raised: The name of what the work raised; "" if it returned.
    """

    value: Any = None
    signal: int = 0
    raised: str = ""

    @property
    def is_coded(self) -> bool:
        """Tell whether it failed as the package's errors do."""
        return bool(self.raised) and str(self.value).startswith("[O")


def in_child(
    work: Callable[[], Any],
    *,
    seconds: int = 60,
    memory: int | None = None,
    file_size: int | None = None,
    kill_at: int | None = None,
    under: Path | None = None,
    deadly: bool = False,
) -> Outcome:
    """Fork, and do some work there.

    seconds (int): After which it is killed by SIGALRM.
    memory (int | None): Bytes that it may take beside what it has.
    file_size (int | None): Bytes of the largest file that it may write: a full disk (an error), or death with `deadly`.
    kill_at (int | None): Kill it with SIGKILL before its nth change of files below `under`, counted from 1.
    RETURNS (Outcome): What came of it.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            reader.close()
            # pytest's own time limit has a handler, which would stay.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            _limit(memory, file_size, deadly)
            if kill_at is not None and under is not None:
                _kill_at(kill_at, os.path.realpath(under))
            _send(writer, work)
        finally:
            os._exit(0)
    writer.close()
    try:
        value, raised = reader.recv()
    except EOFError:
        value, raised = None, ""
    _, status = os.waitpid(pid, 0)
    reader.close()
    return Outcome(value, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, raised)


def _send(writer: Any, work: Callable[[], Any]) -> None:
    try:
        result = (work(), "")
    except BaseException as problem:
        result = (str(problem), type(problem).__name__)
    try:
        writer.send(result)
    except (OSError, ValueError, TypeError, AttributeError):
        writer.send((None, result[1]))


def _limit(memory: int | None, file_size: int | None, deadly: bool) -> None:
    if memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGESIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def _kill_at(nth: int, under: str) -> None:
    left, lock = [nth], threading.Lock()

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event not in CHANGES or not any(_is_under(arg, under) for arg in args[:2]):
            return
        if event == "open" and not _writes(args):
            return
        with lock:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _is_under(path: Any, under: str) -> bool:
    return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(under)


def _writes(args: tuple[Any, ...]) -> bool:
    mode, flags = args[1], args[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
