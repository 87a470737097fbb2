"""Answers kept on disk, by the content of their questions.

A table of SQLite, which several processes may use at once. `diskcache` would do as well but for one thing: all its
disk classes, `JSONDisk` too, unpickle a row that says it is a pickle, so whoever can write the directory can run code.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .types import LLMRequest

FILE = "answers.sqlite3"
WAIT = 30.0
TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, model TEXT, made TEXT, answer TEXT) WITHOUT ROWID"


def key_of(model: str, parameters: Mapping[str, Any], question: LLMRequest) -> str:
    """What a question is known by: model, parameters, messages and schema, and nothing else."""
    parts = [model, dict(parameters), question.messages, dict(question.schema)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf8")).hexdigest()


class Cache:
    """Answers by key. Where the disk fails, `problem` says how, and answers are kept in memory instead.

    Questions are not stored, only their hashes; answers are, as they came.

    directory (Path | None): Made if it is not there; None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.memory: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        self.problem: str | None = None

    def get(self, key: str) -> str | None:
        """Look an answer up."""
        if self.directory is None:
            return None
        try:
            row = self._open().execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except (sqlite3.Error, OSError) as problem:
            self.problem = f"{type(problem).__name__}: {problem}"
            row = None
        return str(row[0]) if row is not None else self.memory.get(key)

    def put(self, key: str, model: str, answer: str) -> None:
        """Keep an answer, at once."""
        if self.directory is None:
            return
        values = (key, model, answer)
        try:
            with self._open() as connection:
                connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, datetime('now'), ?)", values)
        except (sqlite3.Error, OSError) as problem:
            self.problem = f"{type(problem).__name__}: {problem}"
            self.memory[key] = answer

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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
