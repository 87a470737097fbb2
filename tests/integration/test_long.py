"""One doc of 100,000 words: the end is read, memory is bounded, time is linear."""

import pytest

from benchmarks import long_doc


@pytest.mark.slow
def test_100_000_words(capsys, monkeypatch, tmp_path):
    import json

    monkeypatch.setattr("sys.argv", ["long_doc", "--output", str(tmp_path / "rows.json")])
    long_doc.main()
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["words"] for row in rows] == [10_000, 30_000, 100_000]
    assert all("Marie Curie" in row["found at the end"] for row in rows)
    assert rows[-1]["peak memory, MB"] < 2000
    per_word = [row["seconds per 1,000 words"] for row in rows]
    assert max(per_word) < 1.5 * min(per_word)
