#!/bin/sh
# DuckDB 2.0.1 (PyPI): read_json_auto reads values as NULL, without an error, where a
# field is null in the first 20,480 rows of a file of JSON lines.
#
# The field's type is guessed from these rows, and a field that is null in all of them
# gets the type "NULL": every later value of it, a number or a text, is read as NULL.
# DuckDB 1.4.0 gives such a field the type JSON, and keeps the values. So an exporter that
# writes each field in each line, with null for none, is not safe for version 2 either:
# readers have to name the columns' types, or say sample_size = -1.
#
# Run on 2026-11-28 with CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > look.py <<'PYTHON'
import json
import sys

import duckdb

rows = [{"event": "end", "octets": None}] * 20_600 + [{"event": "end", "octets": 7}]
with open("lines.jsonl", "w") as file:
    for row in rows:
        file.write(json.dumps(row) + "\n")
found = []
for options in ("", ", sample_size = -1"):
    source = f"read_json_auto('lines.jsonl'{options})"
    kind = duckdb.sql(f"SELECT typeof(octets) FROM {source} LIMIT 1").fetchall()[0][0]
    count = duckdb.sql(f"SELECT count(octets) FROM {source}").fetchall()[0][0]
    found.append((kind, count))
print(duckdb.__version__, found)
wanted = {
    "1.4.0": [("JSON", 1), ("BIGINT", 1)],
    "2.0.1": [('"NULL"', 0), ("BIGINT", 1)],
}
sys.exit(found != wanted[duckdb.__version__])
PYTHON
for version in 1.4.0 2.0.1; do
    python3 -m venv --clear venv
    venv/bin/pip install -q --disable-pip-version-check "duckdb==$version"
    venv/bin/python look.py
done
