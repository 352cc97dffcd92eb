"""Tables of text as programs and people all over the world write them."""

from __future__ import annotations

import contextlib
import csv
import gzip
import logging
import re

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.file import File
from tests.fixtures.tables import load

PLAIN = "a,b\n1,2.5\n3,4\n"
VALUES = [[1.0, 3.0], [2.5, 4.0]]  # features by samples


def read(tmp_path, text, name="a.csv", **options):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(tmp_path / name, **options)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz", "a.tsv.gz", "a.TXT.GZ"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
def test_the_delimiter_is_told_by_the_lines(tmp_path, delimiter, name):
    text = PLAIN.replace(",", delimiter).encode()
    dataset = read(tmp_path, gzip.compress(text) if name.lower().endswith("gz") else text, name)
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert dataset.feature_names == ["a", "b"]


def test_a_decimal_comma_is_an_option_that_the_message_names(tmp_path):
    text = "a;b\n1;2,5\n3;4\n"
    with pytest.raises(InputError, match=r"column 'b' holds '2,5' in row 1, .*dataset.decimal=',' reads it as 2.5"):
        read(tmp_path, text)
    np.testing.assert_array_equal(read(tmp_path, text, decimal=",").X, VALUES)
    frame = pandas.DataFrame(np.transpose(VALUES), columns=["a", "b"])
    frame.to_csv(tmp_path / "other.csv", sep=";", decimal=",")
    np.testing.assert_array_equal(load(tmp_path / "other.csv", decimal=",").X, VALUES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x\n1,5\n2,5\n", [[1.5, 2.5]]),
        ("name;x\nA;1,5\nB;2,5\n", [[1.5, 2.5]]),  # as many numbers on either side of the commas
        ("x,y\n1,5\n2,6\n", [[1, 2], [5, 6]]),
        ('x,y\n"1,5","2,0"\n"2,5","1,0"\n', [[1.5, 2.5], [2.0, 1.0]]),
        ("sep=;\na;b;c\n1,5;2;u\n2,5;1;v\n", [[1.5, 2.5], [2.0, 1.0]]),
    ],
)
def test_a_decimal_comma_separates_no_cells(tmp_path, text, values):
    dataset = read(tmp_path, text, decimal=",", exclude=["c"] if "c\n" in text else [])
    np.testing.assert_array_equal(dataset.X, values)


@pytest.mark.parametrize("cell", ['"1,234"', '"1,234,567"', "1 234.5", "12%", "$5", '"1,5"'])
def test_a_first_column_of_numbers_with_other_marks_names_no_rows(tmp_path, cell):
    with pytest.raises(InputError, match=rf"column 'x' holds '{re.escape(cell.strip(chr(34)))}' in row 1, expected n"):
        read(tmp_path, f"x,y\n{cell},2\n{cell},1\n")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "\\t", "tab", "x"])
def test_the_delimiter_can_be_said(tmp_path, delimiter):
    character = "\t" if delimiter in ("\\t", "tab") else delimiter
    text = f'"a,1"{character}"b,2"\n1{character}2.5\n3{character}4\n'
    dataset = read(tmp_path, text, delimiter=delimiter)
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert dataset.feature_names == ["a,1", "b,2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "ab"}, "dataset.delimiter='ab' is not valid"),
        ({"delimiter": '"'}, "dataset.delimiter='\"' is not valid"),
        ({"delimiter": ",", "decimal": ","}, "dataset.delimiter=, is the decimal mark as well"),
        ({"decimal": "x"}, "dataset.decimal=x is not known"),
        ({"encoding": "utf-9"}, "dataset.encoding=utf-9 is not known"),
    ],
)
def test_options_that_no_table_has_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        File(**options)


def test_a_wrong_delimiter_is_refused_with_the_right_one(tmp_path):
    with pytest.raises(InputError, match="its cells are separated by ',', expected ';'"):
        read(tmp_path, PLAIN, delimiter=";")


def test_a_line_of_a_spreadsheet_says_the_delimiter(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, "sep=;\r\na;b\r\n1;2.5\r\n3;4\r\n").X, VALUES)


def test_the_header_of_r_has_one_cell_less(tmp_path):
    dataset = read(tmp_path, '"a" "b"\n"r1" 1 2.5\n"r2" 3 4\n', "a.txt")
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert (dataset.feature_names, dataset.sample_names) == (["a", "b"], ["r1", "r2"])


def test_cells_may_be_quoted_and_of_several_lines(tmp_path):
    dataset = read(tmp_path, '"a\nb","c ""d"", e"\n1,"2.5"\n3,4\n')
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert dataset.feature_names == ["a b", 'c "d", e']


def test_words_for_nothing_are_missing_entries(tmp_path):
    dataset = read(tmp_path, "a,b\n1,N/A\nNULL,4\nNone,\n")
    np.testing.assert_array_equal(dataset.X, [[1.0, np.nan, np.nan], [np.nan, 4.0, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, expected 2 as the first row"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, expected 2 as the first row"),
        ('a,b\n1,"2\n3,4\n', "unexpected end of data"),
        ("a,b\n", "no rows below its header"),
        ("\n\n", "it holds no rows"),
        ("a,a\n1,2\n", "its header has 'a' twice"),
        ("a,b\n1,12%\n", "column 'b' holds '12%' in row 1, expected numbers .a percent sign"),
        ("a,b\n1,1_1\n", "column 'b' holds '1_1' in row 1, expected numbers .*dataset.labels and dataset.index"),
        ("a,b\n1,\n2,NA\n", "column 'b' is empty, expected numbers .dataset.exclude leaves it out"),
        (b"a,b\n1,2\n3,\x00\n", "it holds null characters, expected text"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_other_encodings_are_read_where_they_are_said_and_suggested_where_not(tmp_path):
    text = "größe,b\n1,2.5\n3,4\n"
    with pytest.raises(InputError, match=r"it is not utf-8 text \(byte 0xf6 at 2\); dataset.encoding=latin-1"):
        read(tmp_path, text.encode("latin-1"))
    for encoding in ("latin-1", "utf-16", "utf-8", "utf-8-sig"):
        assert read(tmp_path, text.encode(encoding), encoding=encoding).feature_names == ["größe", "b"]
    assert read(tmp_path, text.encode("utf-8-sig")).feature_names == ["größe", "b"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "latin-1"])
def test_a_byte_order_mark_is_no_part_of_the_first_cell(tmp_path, encoding):
    text = "\ufeff3,1,2\n5,4,6\n".encode("utf-8" if encoding == "latin-1" else encoding)
    np.testing.assert_array_equal(read(tmp_path, text, encoding=encoding).X, [[3, 5], [1, 4], [2, 6]])


# Which first lines are names


@pytest.mark.parametrize("text", ["x,2,y\n1,2,3\n4,5,6\n", ",400,410\ns1,1,2\ns2,3,4\n", "sample,1,2\ns1,1,2\n"])
def test_a_first_line_with_a_name_above_numbers_is_a_header(tmp_path, text):
    first, *rows = text.split()
    dataset = read(tmp_path, text)
    assert dataset.X.shape[1] == len(rows)
    assert set(dataset.feature_names) <= set(first.split(","))


@pytest.mark.parametrize("text", ["1,2,3\n4,5,6\n", "3,2,1\n4,5,6\n", "400.5,401\n1,2\n", "s1,1,2\ns2,3,4\n"])
def test_a_first_line_of_rising_or_falling_numbers_may_be_either_and_is_asked_about(tmp_path, text):
    with pytest.raises(InputError, match=r"may be a header of numbers or a row of them: expected dataset.header=true"):
        read(tmp_path, text)
    rows = len(text.split()) - 1
    assert read(tmp_path, text, header=True).X.shape[1] == rows
    assert read(tmp_path, text, header=False).X.shape[1] == rows + 1


@pytest.mark.parametrize(
    "text", ["NA\n1\n2\n", "NA,nan\n2,1\n", ",\n2,1\n", ",2,1,5\n3.5,4,5,6\n", ",2,1\n,4,5\n6,7,8\n"]
)
def test_a_first_line_that_may_be_a_sample_with_missing_entries_is_asked_about(tmp_path, text):
    with pytest.raises(InputError, match=r"may be a header .* or a row"):
        read(tmp_path, text)
    assert read(tmp_path, text, header=False).X.shape[1] == len(text.split())


@pytest.mark.parametrize("index", [[0, 1, 2], [1, 2, 3], ["u", "v", "w"]])
def test_numbers_behind_an_empty_cell_are_a_header_where_the_column_below_it_names_the_rows(tmp_path, index):
    pandas.DataFrame([[4, 1], [5, 2], [6, 2]], index, columns=[2, 5]).to_csv(tmp_path / "a.csv")
    dataset = load(tmp_path / "a.csv")
    assert (dataset.feature_names, dataset.sample_names) == (["2", "5"], [*map(str, index)])


def test_a_first_line_like_the_others_is_a_sample(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        dataset = read(tmp_path, "5,1,3\n4,2,6\n0,2,3\n")
    np.testing.assert_array_equal(dataset.X, [[5, 4, 0], [1, 2, 2], [3, 6, 3]])
    assert dataset.feature_names is None
    assert "the first line (5, 1, 3) is taken for a row; dataset.header=true" in caplog.text


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "id;a;b\nu;1;2\nv;3;4\n",
            {},
            ["cells are separated by ';'; the first line (id, a, b) is taken for a header; column 'id' names the rows"],
        ),
        ("a,b\n1,2\n3,4\n", {}, ["the first line (a, b) is taken for a header."]),
        ("a;b\n1;2\n3;4\n", {"header": True}, ["cells are separated by ';'."]),
        ("id;a;b\nu;1;2\nv;3;4\n", {"delimiter": ";", "header": True, "index": "id"}, []),
    ],
)
def test_what_is_guessed_of_a_table_is_said_in_one_line(tmp_path, caplog, text, options, said):
    with caplog.at_level(logging.INFO):
        read(tmp_path, text, **options)
    assert len(caplog.messages) == len(said)
    for message, line in zip(caplog.messages, said, strict=True):
        assert message.startswith(f"dataset=file: {line}")


def test_columns_without_names_are_numbered_from_zero(tmp_path):
    dataset = read(tmp_path, "5,u,3\n4,v,6\n0,u,3\n", header=False, labels=["1"], exclude=["2"])
    np.testing.assert_array_equal(dataset.X, [[5, 4, 0]])
    np.testing.assert_array_equal(dataset.labels, [[0, 1, 0]])


# Which columns name rows


@pytest.mark.parametrize(
    ("column", "entries"),
    [
        ("", ["7", "3", "5"]),
        ("Unnamed: 0", ["0", "1", "2"]),
        ("number", ["1", "2", "3"]),
        ("id", ["17", "4", "9"]),
        ("patient_id", ["1_1", "1_2", "1_3"]),
        ("gene", ["u", "v", "w"]),
    ],
)
def test_a_first_column_of_identifiers_names_the_rows(tmp_path, caplog, column, entries):
    rows = [f"{entry},{value}" for entry, value in zip(entries, (2.5, 1, 4), strict=True)]
    text = "\n".join([f"{column},a", *rows]) + "\n"
    with caplog.at_level(logging.INFO):
        dataset = read(tmp_path, text)
    np.testing.assert_array_equal(dataset.X, [[2.5, 1, 4]])
    assert (dataset.feature_names, dataset.sample_names) == (["a"], entries)
    assert f"column {column!r} names the rows" in caplog.text


@pytest.mark.parametrize(("column", "entries"), [("dose", [*"735"]), ("id", [*"737"]), ("id", ["7.5", *"31"])])
def test_a_first_column_of_measurements_is_a_feature(tmp_path, column, entries):
    rows = [f"{entry},{value}" for entry, value in zip(entries, (2.5, 1, 4), strict=True)]
    dataset = read(tmp_path, "\n".join([f"{column},a", *rows]))
    assert (dataset.feature_names, dataset.sample_names) == ([column, "a"], None)


@pytest.mark.parametrize("text", [",a\n0,5\n1,6\n0,7\n", ",a\n.5,5\n.7,6\n", "a\n1,5\n1,6\n"])
def test_a_first_column_without_a_name_is_asked_about_where_it_does_not_tell_rows_apart(tmp_path, text):
    with pytest.raises(InputError, match=r"its first column has no name and may name the rows: dataset.index='' says"):
        read(tmp_path, text)
    assert read(tmp_path, text, index="").feature_names == ["a"]
    assert len(read(tmp_path, text, index=None).feature_names) == 2


def test_index_and_exclude_say_what_is_no_feature(tmp_path):
    text = "id,a,who,b\n1,2,u,3\n2,4,v,5\n3,1,w,1\n"
    named = read(tmp_path, text, index="who", exclude=["id"])
    assert (named.feature_names, named.sample_names) == (["a", "b"], ["u", "v", "w"])
    plain = read(tmp_path, text, index=None, exclude=["who"])
    assert (plain.feature_names, plain.sample_names) == (["id", "a", "b"], None)
    for options in ({"index": "x"}, {"exclude": ["x"]}):
        with pytest.raises(InputError, match=r"it has no 'x'. Expected one of: id, a, who, b"):
            read(tmp_path, text, **options)


def test_numbers_of_rows_that_pandas_wrote_twice_are_no_features(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    frame = pandas.DataFrame({"a": [2.0, 1.0, 4.0]})
    frame.to_csv(tmp_path / "once.csv")
    pandas.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    for name, columns in (("once.csv", [""]), ("twice.csv", ["", "Unnamed: 0"])):
        caplog.clear()
        assert load(tmp_path / name).feature_names == ["a"]
        assert [f"column {column!r} names the rows" in caplog.text for column in columns] == [True] * len(columns)


def test_empty_columns_behind_a_last_delimiter_are_none(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, "a;b;\n1;2.5;\n3;4;\n").X, VALUES)


@pytest.mark.parametrize(
    ("option", "value"), [("delimiter", ";"), ("decimal", ","), ("header", True), ("index", None), ("exclude", ["a"])]
)
def test_options_of_tables_are_refused_for_files_of_arrays(tmp_path, option, value):
    np.savez(tmp_path / "a.npz", X=np.eye(3))
    with pytest.raises(InputError, match=f"dataset.{option}=.* is for tables, and this file is none"):
        load(tmp_path / "a.npz", **{option: value})


NUMBERS = st.one_of(st.integers(0, 12), st.sampled_from([0.5, 1e-7, 1e20, -2.25, 1234.5, np.nan]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_frame_that_pandas_wrote_is_read_as_it_was_or_refused(tmp_path_factory, data):
    draw, path = data.draw, tmp_path_factory.mktemp("frame") / "a.txt"
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    words = st.text(st.sampled_from("ab é,;|\t\"'_#.-"), min_size=1, max_size=4).map(lambda word: f"n{word}")
    frame = pandas.DataFrame(
        draw(st.lists(st.lists(NUMBERS, min_size=m, max_size=m), min_size=n, max_size=n)),
        draw(st.one_of(st.just(range(n)), st.lists(words, min_size=n, max_size=n, unique=True))),
        draw(st.lists(words, min_size=m, max_size=m, unique_by=str.strip)),
    )
    options = {
        "sep": (sep := draw(st.sampled_from(",;\t| "))),
        "decimal": draw(st.sampled_from(".," if sep != "," else ".")),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])),
        "na_rep": draw(st.sampled_from(["", "NA", "nan", "NULL"])),
        "index": draw(st.booleans()),
    }
    frame.to_csv(path, **options)
    with contextlib.suppress(InputError):
        dataset = load(path, decimal=options["decimal"], encoding=options["encoding"])
        np.testing.assert_array_equal(dataset.X.T, frame)


@pytest.mark.parametrize(
    "text",
    [
        "# made by a program\n#\na,b\n1,2.5\n3,4\n",
        "# made on Monday, at noon\n\n# a,b\n1,2.5\n3,4\n",
        "#OTU table\n\ta\tb\nx\t1\t2.5\ny\t3\t4\n",
        "# made by R\na b\nx 1 2.5\ny 3 4\n",
    ],
)
def test_comments_above_a_table_are_passed_over(tmp_path, text):
    dataset = read(tmp_path, text)
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert dataset.feature_names == ["a", "b"]


@pytest.mark.parametrize("delimiter", [" ", ",", ";"])
@pytest.mark.parametrize("header", ["", "a{0}b", "of Monday, by a program at noon\na{0}b"])
def test_what_numpy_writes(tmp_path, header, delimiter):
    np.savetxt(tmp_path / "a.txt", np.transpose(VALUES), delimiter=delimiter, header=header.format(delimiter))
    dataset = load(tmp_path / "a.txt", header=bool(header))
    np.testing.assert_array_equal(dataset.X, VALUES)
    assert dataset.feature_names == (["a", "b"] if header else None)


def test_lines_are_counted_with_comments(tmp_path):
    with pytest.raises(
        InputError, match=r"line 5 has 1 cells, expected 2 as the first row \(separated by ','; comments"
    ):
        read(tmp_path, "# one\n# two\na,b\n1,2\n3\n")


@pytest.mark.parametrize(
    ("cells", "options", "hint"),
    [
        (["1,234", "1"], {}, "dataset.decimal=',' reads it as 1.234, unless that mark groups thousands"),
        (["0,375", "1"], {}, r"dataset.decimal=',' reads it as 0.375\)"),
        (["1,234.5", "1"], {}, "marks that group thousands are no part of a number"),
        (["1.234,5", "1"], {"decimal": ","}, "marks that group thousands"),
        (["1 234", "1"], {}, "marks that group thousands"),
        (["5%", "1"], {}, "a percent sign is no part of a number"),
        (["#DIV/0!", "1"], {}, "an empty cell is a missing entry"),
        (["$5", "$1"], {}, "signs and marks between thousands"),
    ],
)
def test_what_to_do_about_a_cell_that_is_no_number(tmp_path, cells, options, hint):
    with pytest.raises(InputError, match=hint):
        read(tmp_path, "a;b\n" + "".join(f"1;{cell}\n" for cell in cells), **options)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(PLAIN.encode(), mtime=0), "packed by gzip"),
        (b"PK\x03\x04\0\0", "a zip archive, as those of spreadsheets"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"PAR1\0", "a parquet file"),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, content, kind):
    with pytest.raises(InputError, match=f"it is {kind}.*no table of text"):
        read(tmp_path, content)
