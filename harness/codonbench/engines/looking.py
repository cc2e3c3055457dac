"""Between steps: courses in step asked, probed and moved along together."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from codonbench.training.feed import Course, ask


def supplied(courses: Sequence[Course]) -> int:
    """Return how many batches every course that is not over has ahead, after asking for more.

    None are left once the budget is spent: then all are due for their last probe.
    """
    running = [course for course in courses if not course.probes.over]
    ask([course for course in running if not course.ahead and not course.is_due])
    return min((len(course.ahead) for course in running if not course.probes.over), default=0)


def places(courses: Sequence[Course], steps: int) -> list[int]:
    """Return where courses in step are before each of the next steps."""
    course = next(course for course in courses if not course.probes.over)
    ends = (batch.pairs for batch in course.ahead[: steps - 1])
    return [course.probes.position, *ends]


def probes_due(courses: Sequence[Course]) -> set[int]:
    """Return where the next probes of courses fall; nowhere once all are over."""
    return {course.next_probe for course in courses if course.next_probe is not None}


def learned(courses: Sequence[Course], steps: int) -> None:
    """Note that all courses that are not over have learned from so many batches."""
    for course in courses:
        if not course.probes.over:
            course.learned(steps)


def look(courses: Sequence[Course], logits: Tensor) -> list[int]:
    """Probe the courses that are due; return the places of those that are over now.

    Args:
        courses: In step.
        logits: Of all inputs, (S, K, C).
    """
    started = time.perf_counter()
    seen = logits.to("cpu").float().numpy()
    due = [i for i, course in enumerate(courses) if course.is_due]
    probe = courses[0].lesson.probe.cpu().numpy()
    ask([courses[i] for i in due], [seen[i][probe] for i in due])
    spent = (time.perf_counter() - started) / max(len(due), 1)
    for i in due:
        courses[i].probes.seconds += spent
    return [i for i in due if courses[i].probes.over]
