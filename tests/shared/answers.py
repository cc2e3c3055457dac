"""What a command said, and how it ended."""

import json
from dataclasses import dataclass

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
