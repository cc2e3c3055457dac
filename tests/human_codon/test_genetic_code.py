import pytest
from Bio.Data import CodonTable
from Bio.Seq import Seq

from codonbench.errors import ConfigError
from codonbench_datasets.human_codon.orfs import (
    CLASSES,
    CODONS,
    START,
    codon_letters,
    genetic_code,
    genetic_codes,
)

# NCBI's own line for the standard code, in the order UUU UUC UUA UUG UCU ... GGG.
STANDARD = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"


def test_codons_are_in_textbook_order() -> None:
    assert len(CODONS) == 64
    assert CODONS[:5] == ("UUU", "UUC", "UUA", "UUG", "UCU")
    assert (CODONS[START], START) == ("AUG", 35)
    assert CODONS[63] == "GGG"
    for codon, (a, b, c) in zip(CODONS, codon_letters().tolist(), strict=True):
        assert codon == "UCAG"[a] + "UCAG"[b] + "UCAG"[c]
        assert CODONS[16 * a + 4 * b + c] == codon


def test_the_standard_code_is_ncbis_published_line() -> None:
    assert genetic_code(1).amino_acids == STANDARD
    assert [CODONS[i] for i in genetic_code(1).stops] == ["UAA", "UAG", "UGA"]


def test_classes_are_sorted_with_stop_last() -> None:
    assert "".join(CLASSES) == "ACDEFGHIKLMNPQRSTVWY*"
    labels = genetic_code(1).labels
    assert "".join(CLASSES[label] for label in labels) == STANDARD
    assert sorted(set(labels.tolist())) == list(range(21))


@pytest.mark.parametrize("number", genetic_codes())
@pytest.mark.filterwarnings("ignore:This table contains")  # Biopython, tables 27, 28, 31
def test_every_ncbi_table_agrees_with_biopython(number: int) -> None:
    code = genetic_code(number)
    table = CodonTable.unambiguous_rna_by_id[number]
    assert {CODONS[i] for i in code.ends} == set(table.stop_codons)
    assert {CODONS[i] for i in code.stop_or_sense} == set(table.stop_codons) & set(
        table.forward_table
    )
    for codon, letter in zip(CODONS, code.amino_acids, strict=True):
        assert letter == str(Seq(codon).translate(table=number))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("number", "both"), [(27, ["UGA"]), (28, ["UAA", "UAG", "UGA"]), (31, ["UAA", "UAG"])]
)
def test_tables_without_an_unambiguous_stop_label_none(number: int, both: list[str]) -> None:
    code = genetic_code(number)
    assert code.stops == ()
    assert [CODONS[i] for i in code.stop_or_sense] == both


def test_a_table_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"genetic code 7 does not exist; .* 1, 2, 3, .*, 33"):
        genetic_code(7)
