import codonbench


def test_these_names_are_public_and_no_others():
    assert sorted(codonbench.__all__) == [
        "AuxiliaryLearner",
        "BaseConfig",
        "BatchLearner",
        "Ceiling",
        "Column",
        "Control",
        "DataSource",
        "Dataset",
        "Doubt",
        "Encoding",
        "Estimator",
        "EvaluationSet",
        "Features",
        "GradientConfig",
        "Input",
        "Metric",
        "Model",
        "ModelConfig",
        "ModelInfo",
        "NOT_MEASURED",
        "Needs",
        "Output",
        "Ranking",
        "Reference",
        "RunRecord",
        "SequenceTuples",
        "Sequences",
        "Split",
        "SplitMetric",
        "Target",
        "Task",
        "TaskOptions",
        "TaskSpec",
        "TaskView",
        "TrainingSet",
        "Trajectory",
        "Tune",
        "__version__",
        "audit_data",
        "board",
        "compare",
        "estimator",
        "hookimpl",
        "load_records",
        "model",
        "run",
    ]


def test_every_public_name_can_be_imported():
    for name in codonbench.__all__:
        assert getattr(codonbench, name) is not None


def test_a_star_import_brings_the_public_names():
    namespace = {}
    exec("from codonbench import *", namespace)
    assert set(codonbench.__all__) <= set(namespace)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(codonbench, "Modle")
