"""Everything that codonbench ships passes the checks that a stranger's plugins must pass."""

import pytest

from codonbench.plugins.discovery import load_registry
from codonbench.testing import check_metric, check_model, check_task

INSTALLED = load_registry()


@pytest.mark.parametrize("name", sorted(INSTALLED.models))
def test_a_built_in_model_keeps_the_contract(name):
    check_model(name)


@pytest.mark.parametrize("name", sorted(INSTALLED.metrics))
def test_a_built_in_metric_keeps_the_contract(name):
    check_metric(name)


@pytest.mark.parametrize("name", sorted(INSTALLED.tasks))
def test_a_built_in_task_keeps_the_contract(name):
    check_task(name)
