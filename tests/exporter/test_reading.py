"""Reading small files."""

import os
import threading

import pytest

from gnomon_exporter.reading import attribute, attribute_int, fields, numbers, read, read_value


def test_reads_a_file_that_arrives_in_pages(tmp_path):
    """What the kernel hands out page by page is read to its end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "".join(f"{number}\n" for number in range(100_000))
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert read(str(pipe)) == text
    writer.join()


def test_reads_an_empty_file(tmp_path):
    """An empty file is an empty text."""
    (tmp_path / "empty").touch()
    assert read(str(tmp_path / "empty")) == ""
    assert list(fields(str(tmp_path / "empty"))) == []


def test_reads_a_value_below_an_open_directory(tmp_path):
    """The attribute is found in the directory, its line end taken off."""
    (tmp_path / "mtu").write_text("1500\n")
    directory = os.open(tmp_path, os.O_PATH)
    try:
        assert read_value("mtu", dir_fd=directory) == "1500"
    finally:
        os.close(directory)


def test_invalid_utf_8_is_replaced(tmp_path):
    """Bytes that are no text become the replacement character."""
    (tmp_path / "alias").write_bytes(b"up\xfflink\n")
    assert read_value(str(tmp_path / "alias")) == "up\N{REPLACEMENT CHARACTER}link"


@pytest.mark.parametrize("reader", [read, read_value, lambda path: list(fields(path))])
def test_a_missing_file_is_an_error(tmp_path, reader):
    """The error names the file, and no descriptor is left open."""
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        reader(str(tmp_path / "nothing"))
    assert len(os.listdir("/dev/fd")) == before


def test_an_attribute_is_its_value(tmp_path):
    """An attribute that can be read comes as text or as number."""
    (tmp_path / "temp").write_text("-40\n")
    assert attribute(str(tmp_path / "temp")) == "-40"
    assert attribute_int(str(tmp_path / "temp")) == -40


@pytest.mark.parametrize("content", ["", "N/A\n", "12 34\n", "0x1f\n"])
def test_an_attribute_without_a_number_is_none(tmp_path, content):
    """A number that is not there is None, never 0."""
    (tmp_path / "temp").write_text(content)
    assert attribute_int(str(tmp_path / "temp")) is None


def test_an_attribute_that_cannot_be_read_is_none(tmp_path):
    """Absence and read errors give None, as text and as number."""
    (tmp_path / "folder").mkdir()
    for name in ("absent", "folder"):
        assert attribute(str(tmp_path / name)) is None
        assert attribute_int(str(tmp_path / name)) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("0-3,8", [0, 1, 2, 3, 8]), ("", []), (" 5 \n", [5]), ("x,3-y,-2,2-", [2])],
)
def test_a_list_of_numbers_is_spelt_out(text, found):
    """Ranges give their numbers, what is no number gives none."""
    assert list(numbers(text)) == found
