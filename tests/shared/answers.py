"""What a command said, and how it ended."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from codonbench.cli.main import main
from codonbench.contracts.run_record import RunRecord


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def records(self):
        """Its standard output as `--json` promises it: a record a line and nothing else."""
        return [RunRecord.model_validate_json(line) for line in self.out.splitlines()]

    @property
    def record(self):
        """The one that it printed."""
        (record,) = self.records
        return record

    @property
    def facts(self):
        """The same as bare JSON objects."""
        return [json.loads(line) for line in self.out.splitlines()]


def call(*words):
    """Run `bench` in this process; return what it said."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    argv = patch.object(sys, "argv", ["bench", *map(str, words)])
    with argv, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main()
    return Answer(end.value.code or 0, out.buffer.getvalue().decode(), err.getvalue())
