"""Lines of numbers: whole chunks, no word taken for another number."""

from __future__ import annotations

import io

import numpy as np
import pytest

from nnmf_runner.datasets.files import number_lines
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.number_lines import parsed, quoted, whole_lines, words_by_line


def test_chunks_are_whole_lines_and_all_of_the_file(monkeypatch):
    monkeypatch.setattr(number_lines, "CHUNK", 10)
    content = b"".join(b"%d %d\n" % (i, i * i) for i in range(30))
    chunks = [*whole_lines(io.BytesIO(content), ".tns", notes := [])]
    assert b"".join(chunks) == content
    assert len(chunks) > 5
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert notes == []


def test_a_last_line_without_an_end_is_noted():
    assert [*whole_lines(io.BytesIO(b"1 2\n3 4"), ".tns", notes := [])] == [b"1 2\n3 4\n"]
    assert len(notes) == 1


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(number_lines, "CHUNK", 10)
    with pytest.raises(ContentError, match=r"too long for a \.tns file"):
        [*whole_lines(io.BytesIO(b"1" * 100), ".tns", [])]


@pytest.mark.parametrize("text", [b"1 2.5\n-3e2 +4D1\n", b"\n \t\n", b"1"])
def test_numbers_are_those_of_python(text):
    expected = [float(word.replace(b"D", b"e")) for word in text.split()]
    np.testing.assert_array_equal(parsed(text), expected)


@pytest.mark.parametrize("text", [b"1_1", b"nan", b"inf", b"1-2", b"1.2.3", b"1e5e3", b"0x1", b"1;2", b"a", b"-"])
def test_what_is_no_number_is_none(text):
    assert parsed(text) is None


def test_words_of_every_line():
    assert words_by_line(b"1 2 3\n\n  4\t5 \r\n6\n").tolist() == [3, 0, 2, 1]


def test_lines_are_quoted_unless_they_are_long():
    assert quoted(b" 1 \xff\r\n") == r"'1 \xff'"
    assert quoted(b"1" * 100) == "a line"
