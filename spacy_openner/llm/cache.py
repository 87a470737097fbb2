"""Answers kept on disk, by the content of their requests.

A table of SQLite, which several processes may use at once. `diskcache` would do as well but for one thing: all its
disk classes, `JSONDisk` too, unpickle a row that says it is a pickle, so whoever can write the directory can run code.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .types import LLMRequest

FILE = "answers.sqlite3"
# Seconds: to wait for another process that writes, and to do without the file when that one holds it for longer.
WAIT, PAUSE = 2.0, 30.0
# Characters of answers that are kept in memory where the disk fails.
KEPT_CHARS = 50_000_000
TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, model TEXT, made TEXT, answer TEXT) WITHOUT ROWID"


def key_of(model: str, parameters: Mapping[str, Any], request: LLMRequest) -> str:
    """Return what a request is known by: model, parameters, messages and schema, and nothing else."""
    parts = [model, dict(parameters), request.messages, dict(request.schema)]
    # As escapes: messages may hold half characters, which are no UTF-8.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Cache:
    """Answers by key. Where the disk fails, `problem` says how, and answers are kept in memory instead.

    Requests are not stored, only their hashes; answers are, as they came.

    directory (Path | None): Made if it is not there; None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.memory: dict[str, str] = {}
        self._n_chars = 0
        self._connection: sqlite3.Connection | None = None
        self._paused_until = 0.0
        self.problem: str | None = None

    def get(self, key: str) -> str | None:
        """Look an answer up."""
        if self.directory is None:
            return None
        row = None
        if not self._is_paused():
            try:
                row = self._open().execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            except (sqlite3.Error, OSError) as problem:
                self._fail(problem)
        return str(row[0]) if row is not None else self.memory.get(key)

    def put(self, key: str, model: str, answer: str) -> None:
        """Keep an answer, at once."""
        if self.directory is None:
            return
        if self._is_paused():
            self._remember(key, answer)
            return
        values = (key, model, answer)
        try:
            with self._open() as connection:
                connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, datetime('now'), ?)", values)
        except (sqlite3.Error, OSError, UnicodeEncodeError) as problem:
            self._fail(problem)
            self._remember(key, answer)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remember(self, key: str, answer: str) -> None:
        """Keep an answer in memory; the oldest go where there are too many."""
        self._n_chars += len(answer) - len(self.memory.get(key, ""))
        self.memory[key] = answer
        while self._n_chars > KEPT_CHARS and len(self.memory) > 1:
            self._n_chars -= len(self.memory.pop(next(iter(self.memory))))

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _fail(self, problem: Exception) -> None:
        self.problem = f"{type(problem).__name__}: {problem}"
        if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
            self._paused_until = time.monotonic() + PAUSE

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            assert self.directory is not None
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / FILE
            # Answers may repeat what texts say: no one else's to read.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=WAIT, check_same_thread=False)
            # Writers do not wait for readers, and a crash of the machine, not of the program, may lose the last rows.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(TABLE)
            self._connection = connection
        return self._connection
