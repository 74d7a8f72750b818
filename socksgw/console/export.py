"""
Export the journal: C{socksgw audit export}.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from socksgw.console.verify import remedy
from socksgw.console.wanted import WrongUse, criteriaOf
from socksgw.records.criteria import Criteria
from socksgw.records.exporting import SCHEMA, Form, exported, header, wantedLines
from socksgw.records.parquet import Unavailable, fromLines
from socksgw.report.words import counted

__all__ = ["exportMain"]


def exportMain(options: argparse.Namespace, directory: Path, out: BinaryIO) -> int:
    """
    Write the lines that are wanted.

    @return: the exit status: 0 found, 1 nothing found, 2 wrong use, or the journal
        cannot be read, or the file cannot be written.
    """
    try:
        criteria = criteriaOf(options)
        form = _form(options)
    except WrongUse as e:
        print(f"socksgw audit export: {e}", file=sys.stderr)
        return 2
    try:
        if not directory.is_dir():
            raise FileNotFoundError(2, os.strerror(2), str(directory))
        if form == "parquet":
            number = _parquet(directory, criteria, options.output)
        elif options.output is None:
            number = _write(directory, criteria, form, out)
        else:
            number = _toFile(directory, criteria, form, options.output)
    except Unavailable as e:
        print(f"socksgw audit export: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        if isinstance(e, BrokenPipeError):
            raise
        print(
            f"socksgw audit export: {e.filename or directory}: {remedy(e)}",
            file=sys.stderr,
        )
        return 2
    print(counted(number, "line"), file=sys.stderr)
    return 0 if number else 1


def _form(options: argparse.Namespace) -> Form:
    """
    Return the form.

    @raise WrongUse: it needs a file.
    """
    form = options.format
    if form is None:
        suffix = options.output.suffix.lstrip(".") if options.output else ""
        if suffix in ("xls", "xlsx", "ods"):
            raise WrongUse(f"--output: .{suffix} is not written; name a .csv file")
        form = suffix if suffix in ("csv", "parquet") else "jsonl"
    if form == "parquet" and options.output is None:
        raise WrongUse("--format parquet: name the file: --output FILE")
    found: Form = form
    return found


def _write(directory: Path, criteria: Criteria, form: Form, out: BinaryIO) -> int:
    number = 0
    if form == "csv":
        out.write(header())
    for count, octets in exported(directory, criteria, form):
        number += count
        out.write(octets)
    out.flush()
    return number


def _toFile(directory: Path, criteria: Criteria, form: Form, file: Path) -> int:
    """Write a file that is complete, or is not there; a pipe or device as it is."""
    if file.exists() and not file.is_file():
        with file.open("wb") as into:
            return _write(directory, criteria, form, into)
    # What a link leads to is replaced, and not the link: /dev/stdout is one.
    file = Path(os.path.realpath(file))
    made = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with made.open("xb") as out:
            number = _write(directory, criteria, form, out)
        os.replace(made, file)
    finally:
        with suppress(FileNotFoundError):
            made.unlink()
    return number


def _parquet(directory: Path, criteria: Criteria, file: Path) -> int:
    number = 0

    def counted() -> Iterator[bytes]:
        nonlocal number
        for line in wantedLines(directory, criteria):
            number += 1
            yield line

    fromLines(counted(), SCHEMA, file)
    return number
