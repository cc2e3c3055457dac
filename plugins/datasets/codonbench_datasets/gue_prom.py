"""GUE's promoters: is there a promoter in this human segment of 70 or 300 bp?

Sets of the benchmark GUE: segments around transcription start sites, with and without a TATA box,
and as many others, split by its authors: Zhou et al., "DNABERT-2", ICLR 2024, arXiv 2306.15006.
Negatives of the sets ``all`` and ``notata`` were made from positives, so pieces of a training item
are at the same positions in a test item of the opposite class. The public copy of two sets of 300
bp has no training part; these are zero-shot tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from codonbench import DataSource, Task, hookimpl
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import TableFormat
from codonbench_datasets._table_task import TableTask
from codonbench_datasets.gue_tf import COMMIT

FOLDER = f"https://raw.githubusercontent.com/wds-seu/DeepGene/{COMMIT}/data/GUE/prom"

TITLES = {
    "core-all": "core promoter, 70 bp",
    "core-notata": "core promoter without TATA box, 70 bp",
    "core-tata": "core promoter with TATA box, 70 bp",
    "300-tata": "promoter with TATA box, 300 bp",
    "300-all": "promoter, 300 bp",
    "300-notata": "promoter without TATA box, 300 bp",
}

SHA256: Mapping[str, tuple[str, ...]] = {
    "core-all": (
        "a36e0bbf2b59e01479bb904534d310041b493fec9221ccd74b518893d74054ed",
        "98dd5d2b5df3c93cad9fa0a4a36078d28fa95b7bf9ab73fb2e5ba1fa74877f2b",
        "b1babbb52abd0fb5328eccc4ce8ab60d0a58d28bdc88c30f8e2140cf1684ce0c",
    ),
    "core-notata": (
        "78bfa494d14fa12f3a661fbd37b8d252f3cf9edf4a8f98d60832fb56e6f9aab9",
        "ced43fdbc8c76187fe0589dfeef07f4554c3374837236b80b02eea392795d548",
        "1ef44c266ca1368e8b438f6b0565b865aa203de8e1c89fc513357311b58bf97c",
    ),
    "core-tata": (
        "6ff19d1296628f1ff30f663f154596aeda27e2c48b8d8c35926029a33c64d3fb",
        "dcacb3b86726376899ad4023339ccaae04a9150f41c34268b4ab38e447316a70",
        "35ba337b4f1f3ca53c5045d51ab6eaedbd382619527a38d4a41f5402015dbad4",
    ),
    "300-tata": (
        "d0dd45bad89aee2564b8831d38a393989942d79b673203e7eb50e19ec8e6242e",
        "4de0f8163d964e4004f0a11036d9a9c5ec6fe2ad5953f962acf66150a2f44592",
        "30432e9845277559043c2bb3bfed37b9bc7efc15748880f3adeeaddc16b76deb",
    ),
    "300-all": (
        "e972638bba9bdf3d9d9f2fb94801892655c91d8cea0bf13545a9361bc183a6fc",
        "11a08b94f7e416a7e608812b74f8b5d3af4c09a6c95e996661903470ff9cc418",
    ),
    "300-notata": (
        "33531e88069eff33019c1ff2de36bfa3d86f53d6964938a61571ea0c908588ac",
        "84f51710928ab64476f77f89d736e87e2c6e6b6f8fd54b4580156a05b8feecb0",
    ),
}
"""Of train, dev and test of each set; of dev and test where there is no training part."""

CONTENT = {
    "core-all": "03e7dda8b3005af8989f8b2818f6af6af577816551e5abe88ce064ed83a01342",
    "core-notata": "a28e0e7cd8d15cbb7085ab763f2afca6fa30e99776aa93985eff7cb0169a60d3",
    "core-tata": "b6370ca771a881806fa02ddb82523b7beabcedba6dd3c8c1639e19575c4e4f82",
    "300-tata": "488298d7e058a95ad06667648edd27a43385e0bc342751420b7ecc07405c0c13",
    "300-all": "8f61cdff6a119c2a285bb5f431a71a05674b8ead0e5b3df05a170f288f575eed",
    "300-notata": "4338f39ccf3b3797b0ebd7f1c6bc6e0a26eeb2ba4bb515139efa8a23d329b927",
}
"""SHA-256 of what the tables of each set hold."""

UNTRAINED = (
    "Its training part is in no public copy at hand, so nothing is trained: models that were "
    "trained elsewhere are asked. Validation and test items are never trained on.",
)

TWINS = {"300-all": (575, 5_920, 558), "300-notata": (553, 5_307, 547)}
"""Test items that have the same pieces in place as a validation item (`leakage.twins.in_pieces`),
of how many, and how many of these are of the other class."""

LEAK = (
    "No audit can tell what its training part leaks, but its validation part shows it: {n:,} of "
    "{of:,} test items ({share:.1%}) have the same pieces at the same places as one of as many "
    "validation items, {other:,} of these as one of the other class. A model that was trained on "
    "the missing part could answer so: on the core sets all and notata, which are a FAIL for it, a "
    "rule that does has a greater MCC than the best published network."
)


def notes_of(which: str) -> tuple[str, ...]:
    """Return what must be known of a set without a training part."""
    n, of, other = TWINS[which]
    return *UNTRAINED, LEAK.format(n=n, of=of, share=n / of, other=other)


EPOCHS = {"core-all": 10, "core-notata": 10, "core-tata": 30, "300-tata": 30}


class GuePromoter(TableTask):
    """Promoter or not; one subclass per set."""

    category: ClassVar[str] = "regulatory"
    target: ClassVar[Target] = Target(names=("other", "promoter"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", auroc="AUROC", accuracy="accuracy"
    )
    reference: ClassVar[str] = "Zhou et al., DNABERT-2, ICLR 2024, arXiv 2306.15006"
    licence: ClassVar[str] = "Apache-2.0 (the public copy); sequences of the human genome"


def gue_promoter(which: str) -> GuePromoter:
    """Return the task of one set, such as ``core-all``."""
    task = f"gue-prom-{which}"
    trained = len(SHA256[which]) == 3
    files = zip(("train.csv", "dev.csv", "test.csv")[not trained :], SHA256[which], strict=True)
    source = DataSource.of_folder(
        task,
        f"{len(SHA256[which])} files of a public copy of GUE, pinned to a commit",
        f"{FOLDER}/prom_{which.replace('-', '_')}",
        dict(files),
    )

    class Named(GuePromoter):
        name: ClassVar[str] = task
        title: ClassVar[str] = f"Human {TITLES[which]} (GUE)"
        input: ClassVar[Input] = Input.of_length(300 if which.startswith("300") else 70)
        protocol: ClassVar[str] = "supervised" if trained else "zero_shot"
        tables: ClassVar[Mapping[str, tuple[str, ...]]] = (
            GuePromoter.tables if trained else {"validation": ("dev",), "test": ("test",)}
        )
        content: ClassVar[str] = CONTENT[which]
        notes: ClassVar[tuple[str, ...]] = () if trained else notes_of(which)
        default_epochs: ClassVar[int] = EPOCHS.get(which, 10)
        origin: ClassVar[DataSource] = source

    return Named()


@hookimpl
def register_tasks(register: Callable[[Task], None]) -> None:
    """Register the six tasks."""
    for which in SHA256:
        register(gue_promoter(which))
