"""Pretrained checkpoints, from tiny folders made here: each protocol, and what is refused."""

import hashlib
import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from codonbench.contracts import Input, TaskView
from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import ConfigError
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.protocols.referee import unwatched
from codonbench_models.hf import Hf

pytestmark = pytest.mark.skipif(
    find_spec("transformers") is None, reason="needs the extra 'pretrained'"
)
# Imported where they are used: they take seconds, which every process that collects would.

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def esm(**more):
    from transformers import EsmConfig

    return EsmConfig(
        vocab_size=10,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        position_embedding_type="rotary",
        token_dropout=False,
        pad_token_id=0,
        mask_token_id=4,
        **more,
    )


def save(folder, model, letters="ACGTN"):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *letters))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )
    names = zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True)
    words = {f"{name}_token": word for name, word in names}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **words).save_pretrained(folder)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A masked, a causal and a classifying checkpoint, below the folder that names them."""
    from transformers import (
        EsmForMaskedLM,
        EsmForSequenceClassification,
        GPT2Config,
        GPT2LMHeadModel,
    )

    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    save(root / "masked", EsmForMaskedLM(esm()))
    causal = GPT2Config(vocab_size=10, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    save(root / "causal", GPT2LMHeadModel(causal))
    save(root / "classifier", EsmForSequenceClassification(esm(num_labels=4)))
    return root


@pytest.fixture(autouse=True)
def _here(folders, monkeypatch, tmp_path):
    monkeypatch.setenv("CODONBENCH_MODELS", str(folders))
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def view(n_outputs=2, target="classes"):
    known = Input.of_length(20).model_dump(exclude={"enumerable"})
    return TaskView(task="toy", target=target, n_outputs=n_outputs, **known)


def built(checkpoint="masked", task=None, **settings):
    torch.manual_seed(1)
    return Hf(Hf.Config(checkpoint=str(checkpoint), **settings)).build(task or view()).eval()


LETTERS = torch.tensor(np.random.default_rng(0).integers(4, size=(6, 20)))
OTHERS = LETTERS.clone()
OTHERS[:, 7] = (OTHERS[:, 7] + 1) % 4


def tokens(letters):
    n = len(letters)
    return torch.cat([torch.full((n, 1), 2), letters + 5, torch.full((n, 1), 3)], dim=1)


@torch.no_grad()
def test_what_is_pooled_is_the_trunks_output_over_letters_alone():
    for pooling, layer in (("mean", -1), ("cls", 1), ("max", 0), ("last", -1)):
        module = built(pooling=pooling, layer=layer)
        states = module.trunk(tokens(LETTERS), output_hidden_states=True).hidden_states[layer]
        inner = states[:, 1:-1]
        whole = {"mean": inner.mean(1), "max": inner.amax(1), "last": inner[:, -1]}
        expected = whole.get(pooling, states[:, 0])
        assert torch.allclose(module.embed(LETTERS), expected, atol=1e-6), pooling
    padded = torch.cat([LETTERS[:2, :12], torch.full((2, 8), 5)], dim=1)  # 5: behind the end
    module = built()
    assert torch.allclose(module.embed(padded), module.embed(LETTERS[:2, :12]), atol=1e-5)


@torch.no_grad()
def test_variants_are_scored_by_what_the_heads_predict():
    one = view(1, "quantities")
    module = built(task=one)
    hidden = tokens(LETTERS)
    hidden[:, 8] = 4
    logs = module._whole[0](hidden).logits.log_softmax(-1)[:, 8]
    at = torch.arange(6)
    expected = logs[at, OTHERS[:, 7] + 5] - logs[at, LETTERS[:, 7] + 5]
    assert torch.allclose(module.score_variants(LETTERS, OTHERS), expected, atol=1e-5)
    module = built("causal", one)
    old, new = (
        module._whole[0](ids).logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None]).sum((1, 2))
        for ids in map(tokens, (LETTERS, OTHERS))
    )
    assert torch.allclose(module.score_variants(LETTERS, OTHERS), new - old, atol=1e-4)
    module = built(task=one, score="distance")
    moved = module.embed(LETTERS) - module.embed(OTHERS)
    scores = module.score_variants(LETTERS, OTHERS)
    assert torch.allclose(scores, -torch.linalg.vector_norm(moved, dim=1), atol=1e-6)


@torch.no_grad()
def test_longer_sequences_are_refused_cut_or_tiled():
    with pytest.raises(ConfigError, match=r"reads 12 tokens at a time, and a sequence has 22"):
        built(max_tokens=12).embed(LETTERS)
    cut = built(max_tokens=12, long="truncate")
    assert torch.allclose(cut.embed(LETTERS), cut.embed(LETTERS[:, :10]), atol=1e-5)
    tiled = built(max_tokens=12, long="tile")
    pieces = [LETTERS[:, i : i + 8] for i in (0, 8, 16)]
    expected = torch.stack([tiled.embed(piece) for piece in pieces]).mean(0)
    assert torch.allclose(tiled.embed(LETTERS), expected, atol=1e-5)
    assert tiled.about()["long_share"] > 0


def test_the_head_adapters_or_all_of_it_are_tuned():
    head, lora, whole = (
        sum(p.numel() for p in built(tune=tune).parameters() if p.requires_grad)
        for tune in ("head", "lora", "all")
    )
    assert head == 2 * 16 + 2 < lora < whole
    assert not built(tune="head").train().trunk.training
    twins = [built(init=init).trunk.state_dict() for init in ("pretrained", "random", "random")]
    name = next(name for name in twins[0] if name.endswith("query.weight"))
    assert not torch.equal(twins[0][name], twins[1][name])
    assert torch.equal(twins[1][name], twins[2][name])  # from the run's own seed


@torch.no_grad()
def test_a_classifiers_own_head_answers():
    assert built("classifier", view(4))(LETTERS).shape == (6, 4)
    with pytest.raises(ConfigError, match="has a head of 4 outputs, but task 'toy' has 2 classes"):
        built("classifier")


def spoiled(folders, tmp_path, what):
    folder = tmp_path / what
    shutil.copytree(folders / "masked", folder)
    if what == "without config":
        (folder / "config.json").unlink()
    elif what == "without weights":
        (folder / "model.safetensors").unlink()
    elif what == "pickled":
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
    elif what == "another vocabulary":
        from transformers import EsmForMaskedLM

        save(folder, EsmForMaskedLM(esm()), letters="LAGVN")
    elif what in CONFIGS:
        said = json.loads((folder / "config.json").read_text()) | CONFIGS[what]
        (folder / "config.json").write_text(json.dumps(said))
        (folder / "mine.py").write_text("raise SystemExit('ran')")
    elif what == "without tokenizer":
        (folder / "tokenizer.json").unlink()
    elif what == "of another's names":
        from safetensors.torch import load_file, save_file

        own = load_file(folder / "model.safetensors")
        save_file({f"my.{name}": each for name, each in own.items()}, folder / "model.safetensors")
    return folder


CONFIGS = {
    "own code": {"model_type": "mine", "auto_map": {"AutoConfig": "mine.MyConfig"}},
    "own code under a known name": {"auto_map": {"AutoModelForMaskedLM": "mine.Mine"}},
    "larger vocabulary": {"vocab_size": 13},
    "wider": {"hidden_size": 32},
}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("without config", r"holds no config\.json"),
        ("without weights", "holds no weights"),
        ("pickled", r"pytorch_model\.bin is pickled and could run code"),
        ("another vocabulary", r"drops [45]\d% of the letters A, C, G and T: it is of another"),
        ("own code", "comes with code of its own; --set trust_remote_code=true"),
        ("own code under a known name", "comes with code of its own; --set trust_remote_code=true"),
        ("larger vocabulary", r"fit its config\.json: \S+ has shape \(10.*, expected \(13"),
        ("wider", r"fit its config\.json: \S+ has shape \(\d+.*, expected \("),
        ("without tokenizer", r"has no tokenizer that can be read: tokenizer\.json"),
        ("of another's names", r"fit its config\.json: \d+ tensors are missing, \S+ first"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused_in_words(folders, tmp_path, what, words):
    with pytest.raises(ConfigError, match=words) as refused:
        built(spoiled(folders, tmp_path, what))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checkpoint": ""}, "needs a checkpoint"),
        ({"checkpoint": "nobody/nothing"}, "not downloaded before; to ask the hub.*download=true"),
        ({"sha256": "0" * 64}, r"SHA-256 [0-9a-f]{12}\.\.\., expected 000000000000"),
        ({"layer": 9}, "layer=9, but checkpoint 'masked' has layers 0 to 2"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_in_words(settings, words):
    with pytest.raises(ConfigError, match=words):
        built(**settings).embed(LETTERS)


def test_no_preset_runs_a_checkpoints_own_code_unasked():
    assert Hf.presets
    assert not any(Hf.Config(**values).trust_remote_code for values in Hf.presets.values())


def stand_in(**settings):
    """Return what builds on a class of a checkpoint's own, of which transformers knows nothing."""
    from transformers import GPT2Config, PreTrainedModel

    class Own(PreTrainedModel):
        config_class = GPT2Config

        def __init__(self, forward):
            super().__init__(GPT2Config(vocab_size=10, n_embd=16))
            self.forward = forward

        def get_output_embeddings(self):
            raise NotImplementedError

    def build(forward, kind):
        from codonbench_models._hf import Pretrained

        config = Hf.Config(checkpoint="masked", **settings)
        tokenizer = built().tokenizer
        return Pretrained(config, view(), Own(forward), tokenizer, whose="own", kind=kind)

    return build


@torch.no_grad()
def test_a_causal_model_without_states_is_asked_what_it_predicts_and_not_embedded():
    from transformers import AutoModelForCausalLM
    from transformers.modeling_outputs import CausalLMOutputWithPast

    table = torch.randn(10, 10)

    def forward(input_ids, attention_mask=None):
        return CausalLMOutputWithPast(logits=table[input_ids])

    module = stand_in(score="likelihood")(forward, AutoModelForCausalLM)
    logs = table.log_softmax(-1)
    old, new = (logs[ids[:, :-1], ids[:, 1:]].sum(1) for ids in (tokens(LETTERS), tokens(OTHERS)))
    assert torch.allclose(module.score_variants(LETTERS, OTHERS), new - old, atol=1e-5)
    with pytest.raises(ConfigError, match="returns no states of its layers"):
        module.embed(LETTERS)


@torch.no_grad()
def test_a_causal_model_that_is_its_own_trunk_is_embedded_by_its_states():
    from transformers import AutoModelForCausalLM
    from transformers.modeling_outputs import CausalLMOutputWithPast

    table = torch.randn(10, 24)

    def forward(input_ids, attention_mask=None, output_hidden_states=False):
        states = (table[input_ids], 2 * table[input_ids]) if output_hidden_states else None
        return CausalLMOutputWithPast(logits=table[input_ids], hidden_states=states)

    module = stand_in()(forward, AutoModelForCausalLM)
    expected = 2 * table[LETTERS + 5].mean(1)
    assert torch.allclose(module.embed(LETTERS), expected, atol=1e-6)


@torch.no_grad()
def test_a_model_of_both_strands_has_a_head_of_the_width_of_its_states():
    from transformers import AutoModelForMaskedLM
    from transformers.modeling_outputs import MaskedLMOutput

    table = torch.randn(10, 40)  # where its configuration says 16

    def forward(input_ids, output_hidden_states=False):
        return MaskedLMOutput(logits=table[input_ids], hidden_states=(table[input_ids],))

    module = stand_in()(forward, AutoModelForMaskedLM)
    assert module.head.in_features == 40
    assert module(LETTERS).shape == (6, 2)
    gained = table.log_softmax(-1)[4]
    expected = gained[OTHERS[:, 7] + 5] - gained[LETTERS[:, 7] + 5]
    assert torch.allclose(module.score_variants(LETTERS, OTHERS), expected, atol=1e-6)


@torch.no_grad()
def test_a_head_for_classes_predicts_no_tokens():
    with pytest.raises(ConfigError, match=r"has no head that predicts tokens.*score=distance"):
        built("classifier", view(4)).score_variants(LETTERS, OTHERS)


def test_a_task_of_pairs_is_refused_by_its_number_of_sequences():
    known = Input.of_parts(Input.of_length(20), Input.of_length(9)).model_dump(
        exclude={"enumerable"}
    )
    pairs = TaskView(task="toy", target="classes", n_outputs=2, **known)
    with pytest.raises(ConfigError, match="of 2 sequences"):
        built(task=pairs)


COMMIT = "c0ffee" * 6 + "c0de"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: a repository's files, and one of them."""

    root: Path

    def do_GET(self):
        path, folder = self.path.partition("?")[0], self.root / "masked"
        body = None
        if path == "/api/models/lab/masked/revision/main":
            names = [{"rfilename": file.name} for file in folder.iterdir()]
            body = json.dumps({"id": "lab/masked", "sha": COMMIT, "siblings": names}).encode()
        elif path == f"/api/models/lab/masked/tree/{COMMIT}":
            sizes = [(file.name, file.stat().st_size) for file in folder.iterdir()]
            files = [{"type": "file", "path": n, "size": s, "oid": "0" * 40} for n, s in sizes]
            body = json.dumps(files).encode()
        elif path.startswith(f"/lab/masked/resolve/{COMMIT}/"):
            body = (folder / path.rpartition("/")[2]).read_bytes()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body or b"").hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(folders, tmp_path, monkeypatch):
    """A hub on this machine, which has ``lab/masked`` and nothing else."""
    import huggingface_hub.constants as constants

    class Here(Hub):
        root = folders

    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        form = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", form)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield server
        server.shutdown()


def test_a_name_on_the_hub_is_downloaded_when_asked_and_kept(hub, tmp_path):
    with pytest.raises(ConfigError, match="download=true"):
        built("lab/masked")
    assert not (tmp_path / "hub").exists()
    loaded = built("lab/masked", download=True, revision="main")
    here = built("masked")
    assert loaded.about() == {**here.about(), "commit": COMMIT}
    assert torch.equal(loaded.embed(LETTERS), here.embed(LETTERS))
    with pytest.raises(ConfigError, match="the hub does not give it"):
        built("lab/other", download=True)
    hub.shutdown()
    assert built("lab/masked").about()["commit"] == COMMIT


def test_offline_keeps_a_model_from_the_hub(hub, toys, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hub.RequestHandlerClass, "do_GET", lambda self: asked.append(self.path))
    wanted = {"checkpoint": "lab/masked", "download": "true"}
    for flag, variable in ((True, ""), (False, "1")):
        monkeypatch.setenv("CODONBENCH_OFFLINE", variable)
        request = RunRequest(model="hf", task="gue-tf-4", overrides=wanted, offline=flag)
        with pytest.raises(ConfigError, match=r"download=true.*--offline"):
            run(prepare(request, toys.installed, tmp_path), toys.installed, unwatched)
    assert not asked


def test_each_protocol_runs_and_the_record_tells_of_the_files(toys, folders, tmp_path):
    for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
        rows = np.random.default_rng(seed).integers(4, size=(40, 101))
        texts = ["".join("ACGT"[i] for i in row) for row in rows]
        lines = [f"{text},{int(text[0] in 'AC')}" for text in texts]
        (tmp_path / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")

    def record(settings=(), **more):
        overrides = {"checkpoint": "masked", "max_tokens": "50", "long": "tile", **dict(settings)}
        asked = RunRequest(
            model="hf", task="gue-tf-4", data=str(tmp_path), overrides=overrides, **more
        )
        ((record, _),) = run(prepare(asked, toys.installed, tmp_path), toys.installed, unwatched)
        assert (record.status, record.error) == ("done", None)
        return record

    probe = record(protocol="linear_probe")
    assert probe.run_spec.track == "pretrained"
    assert probe.run_spec.config["sha256"] == probe.about["weights_sha256"]
    assert probe.about["long_share"] == 1
    assert probe.pretrained_on == "data that are not stated"
    settings = folders / "masked" / "tokenizer_config.json"
    before = settings.read_text()
    settings.write_text(json.dumps(json.loads(before) | {"note": "another"}))
    try:  # the same weights, and maybe other tokens: embedded anew
        edited = record(protocol="linear_probe")
    finally:
        settings.write_text(before)
    assert edited.about["files_sha256"] != probe.about["files_sha256"]
    assert edited.about["weights_sha256"] == probe.about["weights_sha256"]
    assert len(list((tmp_path / "cache" / "embeddings").iterdir())) == 2
    seen = record({"pretrained_on": "E. coli"}, protocol="linear_probe")
    assert seen.pretrained_on == "E. coli"
    tuned = record({"tune": "lora", "init": "random"}, epochs=1)
    assert tuned.pretrained_on == ""
    assert tuned.comparability_key != probe.comparability_key
    assert tuned.metrics["mcc"] is not None
