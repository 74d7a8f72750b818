"""
What is asked with: right, wrong, too long, of another kind.
"""

from __future__ import annotations

import pytest

from socksgw.admin.fields import CHOOSING, Field
from socksgw.admin.reading import bodyFields, pathFields, queryFields
from socksgw.admin.table import Refused

FIELDS = (
    Field("name", "string", "a name", longest=8),
    Field("sort", "string", "a word", one=("up", "down")),
    Field("limit", "integer", "a number", least=1, most=9),
    Field("age", "number", "seconds", least=0),
    Field("all", "boolean", "whether"),
    Field("group", "strings", "several"),
)
JSON = "application/json"


def test_query() -> None:
    """Each field as its kind."""
    query = b"name=a%20b&sort=up&limit=3&age=0.5&all=true&group=x&group=y"
    assert queryFields(FIELDS, query) == {
        "name": "a b",
        "sort": "up",
        "limit": 3,
        "age": 0.5,
        "all": True,
        "group": ["x", "y"],
    }
    assert queryFields(FIELDS, b"") == {}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"nam=a", 'no field "nam"; did you mean "name"'),
        (b"name=a&name=b", "twice"),
        (b"name=123456789", "more than 8"),
        (b"name=a%00", "a zero octet"),
        (b"name=%ff", "cannot be read"),
        (b"name=\xff", "cannot be read"),
        (b"sort=left", "up, down"),
        (b"limit=0", "from 1 to 9"),
        (b"limit=10", "from 1 to 9"),
        (b"limit=1.5", "an integer"),
        (b"limit=" + b"9" * 400, "an integer"),
        ("limit=\u0663".encode(), "cannot be read"),
        (b"age=nan", "at least 0"),
        (b"age=-1", "age: must be at least 0"),
        (b"all=perhaps", "true or false"),
        (b"&".join([b"group=x"] * 65), "cannot be read"),
    ],
)
def test_wrongQuery(query: bytes, words: str) -> None:
    """Refused in words that name the field."""
    with pytest.raises(Refused) as caught:
        queryFields(FIELDS, query)
    assert caught.value.status == 400
    assert words in str(caught.value)


def test_body() -> None:
    """An object in JSON; none is an empty one."""
    assert bodyFields(FIELDS, "", b"") == {}
    assert bodyFields(FIELDS, f"{JSON}; charset=utf-8", b'{"group":["x"]}') == {
        "group": ["x"]
    }


@pytest.mark.parametrize(
    ("kind", "octets", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"name=a", 415),
        (JSON, b"name=a", 400),
        (JSON, b"[]", 400),
        (JSON, b"7", 400),
        (JSON, b"[" * 60_000, 400),
        (JSON, b'{"name":7}', 400),
        (JSON, b'{"limit":true}', 400),
        (JSON, b'{"limit":"7"}', 400),
        (JSON, b'{"limit":1e400}', 400),
        (JSON, b'{"age":NaN}', 400),
        (JSON, b'{"all":1}', 400),
        (JSON, b'{"group":"x"}', 400),
        (JSON, b'{"group":[7]}', 400),
        (JSON, b'{"name":null}', 400),
        (JSON, b'{"\\ud800":1}', 400),
        (JSON, b"\xff\xfe", 400),
    ],
)
def test_wrongBody(kind: str, octets: bytes, status: int) -> None:
    """What is no object, or has a member of another kind."""
    with pytest.raises(Refused) as caught:
        bodyFields(FIELDS, kind, octets)
    assert caught.value.status == status
    str(caught.value).encode()


def test_missing() -> None:
    """What is needed is named, and a body where none is read is refused."""
    needed = (Field("to", "string", "where", required=True),)
    for read in (lambda: queryFields(needed, b""), lambda: bodyFields(needed, "", b"")):
        with pytest.raises(Refused, match="to: is missing"):
            read()
    with pytest.raises(Refused, match="send none"):
        bodyFields((), JSON, b"{}")


def test_path() -> None:
    """Fields of the path have kinds, too."""
    number = (Field("number", "integer", "its number", least=1),)
    assert pathFields(number, {"number": "17"}) == {"number": 17}
    for text in ("x", "-1", "0", "1%2f", "\u0661"):
        with pytest.raises(Refused):
            pathFields(number, {"number": text})


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_noFiniteNumber(text: str) -> None:
    """It is told so, and not that it is out of bounds alone."""
    with pytest.raises(Refused, match="older: must be finite, and at least 0"):
        queryFields(CHOOSING, f"older={text}".encode())
