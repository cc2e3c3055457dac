"""A published table as data: its cells, how its figures were read off, and what would repeat them.

``docs/publications.md`` shows a file. A package ships its publications in its folder
``publications`` as it ships suites.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from codonbench.contracts import Frozen, MetricName, Name
from codonbench.errors import ConfigError
from codonbench.plugins.shipped_files import read_tables

SHIPPED = ("publications", "publication")
"""Folder of a package and kind, as `codonbench.plugins.shipped_files` names them."""


class Reading(Frozen):
    """One way to repeat a cell, where the publication leaves more than one.

    Attributes:
        protocol: What it is called in tables: ``SGD``.
        model: Of the runs.
        overrides: Where their configuration departs from the model's own.
    """

    protocol: str = Field(min_length=1, max_length=60)
    model: Name
    overrides: dict[str, Any] = Field(default_factory=dict)


class Cell(Frozen):
    """One published figure.

    Attributes:
        configuration, condition: Its row and its column.
        printed: The figure as published, in words.
        epoch: The published epoch, from 1; the last one where `censored`; None where none is given.
        pairs: The published cumulated pairs; None where none are given.
        rounded_to: What `pairs` are rounded to.
        censored: Whether the publication says that it was not deciphered within its budget.
        ambiguous: Of a censored figure, where the publication says that something was ambiguous at
            the end of the budget: metrics of which one at least is above 0 then.
        remark: What must be known beside it.
        readings: How to repeat it.
    """

    configuration: str = Field(min_length=1, max_length=120)
    condition: str = Field(max_length=60)
    printed: str = Field(max_length=120)
    epoch: PositiveInt | None = None
    pairs: PositiveInt | None = None
    rounded_to: PositiveInt = 1
    censored: bool = False
    ambiguous: tuple[MetricName, ...] = ()
    remark: str = Field(default="", max_length=400)
    readings: tuple[Reading, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_figure(self) -> Self:
        if self.epoch is None and not self.censored:
            raise ValueError("give an epoch, or censored = true where there is none")
        if self.ambiguous and not self.censored:
            raise ValueError("ambiguous says more of a censored figure; give censored = true")
        if self.pairs is not None and self.epoch is None:
            raise ValueError("pairs need the epoch that they were read off in")
        protocols = [reading.protocol for reading in self.readings]
        if len(set(protocols)) < len(protocols):
            raise ValueError("two readings of a cell have one protocol")
        return self

    @property
    def figure(self) -> int | None:
        """The epoch to compare with; None for never within the budget."""
        return None if self.censored else self.epoch


class Instrument(Frozen):
    """How the publication reads its figures off, and the metrics that do the same to a run.

    Attributes:
        epoch, pairs: Metrics' names without their criterion.
        criteria: Suffixes of those names; the first is the one that headlines use.
        epoch_pairs: Pairs in an epoch.
        frames: Pairs of an epoch after which it is looked at, ascending.
        frame_inputs: Inputs that one look sees.
        printed_short: By how many pairs what is printed falls short, from the second epoch on.
    """

    epoch: MetricName
    pairs: MetricName
    criteria: tuple[MetricName, ...] = Field(min_length=1)
    epoch_pairs: PositiveInt
    frames: tuple[PositiveInt, ...] = Field(min_length=1)
    frame_inputs: PositiveInt
    printed_short: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _frames_lie_in_an_epoch(self) -> Self:
        if list(self.frames) != sorted(set(self.frames)) or self.frames[-1] > self.epoch_pairs:
            raise ValueError("frames must ascend and lie within epoch_pairs")
        return self


class Quantiles(Frozen):
    """Names of the metrics in which a bound gives its mean and quantiles, in pairs."""

    mean: MetricName
    low: MetricName
    median: MetricName
    high: MetricName


class ReferenceRow(Frozen):
    """A row that shows what is not the models' doing.

    Attributes:
        label: What it shows.
        role: ``oracle`` knows all answers from the start, so what it costs the instrument costs;
            ``bound`` is computed in closed form; ``learner`` is anything else.
        model: Of the runs.
        task_options: Of the runs, where they are not the publication's own.
        quantiles: For a bound.
    """

    label: str = Field(min_length=1, max_length=160)
    role: Literal["oracle", "bound", "learner"]
    model: Name
    task_options: dict[str, Any] | None = None
    quantiles: Quantiles | None = None

    @model_validator(mode="after")
    def _bounds_have_quantiles(self) -> Self:
        if (self.role == "bound") != (self.quantiles is not None):
            raise ValueError("a bound, and nothing else, names its quantiles")
        return self


class Publication(Frozen):
    """A published table.

    Attributes:
        name: As in ``bench reproduce NAME``; its page is called so too.
        title, reference, doi: Of the publication.
        suite: The suite whose runs repeat it: a file beside the publication's, or a shipped one.
        task, task_options: What those runs are asked; options that are None are left out.
        budget_epochs: The budget of each run, which is spent whole.
        instrument: How figures were read off.
        cells: Its figures.
        references: Rows beside them.
    """

    name: Name
    title: str = Field(max_length=200)
    reference: str = Field(max_length=200)
    doi: str = Field(max_length=100)
    suite: str = Field(min_length=1, max_length=200)
    task: Name
    task_options: dict[str, Any] = Field(default_factory=dict)
    budget_epochs: PositiveInt
    instrument: Instrument
    cells: tuple[Cell, ...] = Field(min_length=1)
    references: tuple[ReferenceRow, ...] = ()

    @property
    def budget_pairs(self) -> int:
        """Pairs that each run presents."""
        return self.budget_epochs * self.instrument.epoch_pairs


def read_publication(path: Path) -> Publication:
    """Return the publication in a file.

    Raises:
        ConfigError: Names the file and the field that is wrong.
        StoreError: The file cannot be read.
    """
    tables = read_tables(path, "publication")
    unknown = set(tables) - {"publication", "instrument", "cell", "reference"}
    if unknown:
        raise ConfigError(
            f"publication {path}: no table {min(unknown)!r}; it has [publication], [instrument], "
            "[[cell]] and [[reference]]"
        )
    head = tables.get("publication")
    if not isinstance(head, dict):
        raise ConfigError(f"publication {path}: it needs a table [publication]")
    content = {
        **head,
        "instrument": tables.get("instrument"),
        "cells": tables.get("cell", []),
        "references": tables.get("reference", []),
    }
    try:
        return Publication.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"publication {path}: {where}: {message}") from error
