"""Why a rung of the ladder cannot be used; never shown as an error, always recorded."""


class CannotCapture(Exception):  # noqa: N818 - it says what happened, and is no failure
    """The step of this module, optimiser or task cannot be captured; the message says why."""
