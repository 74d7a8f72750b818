"""
A program in Go that fetches a URL, as C{net/http} does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.live.servers import program

_TEXT = """
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		println(err.Error())
		os.Exit(9)
	}
	io.Copy(os.Stdout, answer.Body)
}
"""
#: It is removed when this process ends.
_FOLDER = tempfile.TemporaryDirectory(prefix="gofetch", ignore_cleanup_errors=True)


@cache
def goFetch() -> Path:
    """Compile it, once in a process, and return where it is."""
    source, made = Path(_FOLDER.name, "main.go"), Path(_FOLDER.name, "fetch")
    source.write_text(_TEXT)
    command = [program("go", "golang-go"), "build", "-o", str(made), str(source)]
    # It needs no module but those of Go itself.
    environment = {**os.environ, "GO111MODULE": "off"}
    subprocess.run(
        command, check=True, capture_output=True, timeout=300, env=environment
    )
    return made
