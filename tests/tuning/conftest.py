"""Studies whose files would not outlast a power cut: no test of them is about one."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk(request):
    """Have SQLite not wait for the disk, as it does three times a look, and by night."""
    if request.config.getoption("--hypothesis-profile") == "nightly":
        yield
        return
    from sqlalchemy import event  # which takes long, and need not where no test of these is run
    from sqlalchemy.engine import Engine

    def connected(connection, record):
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)
    yield
    event.remove(Engine, "connect", connected)
