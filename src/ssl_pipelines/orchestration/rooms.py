"""The rooms: what each reads, writes and runs. Freshness, dvc.yaml and the catalog are all made or checked from this table; and the tools."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_pipelines.methods.registry import class_root


@dataclass(frozen=True, slots=True)
class Room:
    """`outputs` are files or folders below `folder`, or empty where the room owns the whole folder."""

    name: str
    artifact: str  # its name in the catalog
    folder: str
    inputs: tuple[str, ...]  # artifacts
    parameters: tuple[str, ...]  # keys of Parameters.read_by
    code: tuple[str, ...]  # "module:function" that the room calls below orchestration; what these reach is its code
    outputs: tuple[str, ...] = ()
    resumes: bool = False  # what it has done so far lies in its folder: it puts its outputs there itself, after its record has gone
    on_request: bool = False  # runs where it is named alone: no part of the whole road, nor of `dvc repro`
    runs_methods: bool = False  # its code is also that of the method at hand
    # module:function(parameters, tracker), called before any room runs where this one is asked for; InputError ends the command
    check: str = ""

    @property
    def record(self) -> str:
        """The file, below the root, that says what the artifact was made from."""
        return f"{self.folder}/{self.name}.record.json"


ROOMS: dict[str, Room] = {
    room.name: room
    for room in (
        Room("ingest", "store", "data/02_intermediate", (), ("dataset", "seed"), ("ssl_pipelines.data.ingestion:ingest",)),
        Room("validate", "gate", "data/03_primary", ("store",), ("validate",), ("ssl_pipelines.orchestration.validation:validate",)),
        Room(
            "pretrain",
            "model",
            "data/06_models",
            ("store", "gate"),
            ("run",),
            ("ssl_pipelines.training.pretrain:pretrain",),
            ("encoder.safetensors", "method.safetensors", "config.json", "history.parquet", "events.jsonl", "provenance.json", "pictures"),
            resumes=True,
            runs_methods=True,
        ),
        Room(
            "extract_features", "features", "data/04_feature", ("store", "model"), ("extract_features", "seed"),
            ("ssl_pipelines.evaluation.features:extract_features",), runs_methods=True,
        ),
        Room(
            "linear_eval", "linear_scores", "data/07_model_output", ("store", "features"), ("linear_eval", "seed"),
            ("ssl_pipelines.evaluation.linear:linear_eval",), ("linear_eval.json", "linear_eval.predictions.parquet"),
        ),
        Room(
            "knn_eval", "knn_scores", "data/07_model_output", ("store", "features"), ("knn_eval", "seed"),
            ("ssl_pipelines.evaluation.knn:knn_eval",), ("knn_eval.json", "knn_eval.predictions.parquet"),
        ),
        Room(
            "diagnose", "diagnosis", "data/07_model_output", ("store", "model", "features", "linear_scores"), ("diagnose", "seed"),
            ("ssl_pipelines.evaluation.diagnose:diagnose",), ("diagnose.json", "diagnose.spectra.parquet"), runs_methods=True,
        ),
        Room(
            "finetune", "finetune_scores", "data/07_model_output", ("store", "model"), ("finetune", "seed"),
            ("ssl_pipelines.evaluation.finetune:finetune",), ("finetune.json", "finetune.predictions.parquet", "finetuned"), runs_methods=True,
        ),
        Room(
            "few_labels", "few_labels_scores", "data/07_model_output/few_labels",
            ("store", "model", "features", "linear_scores"), ("few_labels", "seed"),
            ("ssl_pipelines.evaluation.few_labels:few_labels", "ssl_pipelines.reporting.few_labels:write_few_labels_page"),
            on_request=True, runs_methods=True,
            check="ssl_pipelines.orchestration.few_labels:check_few_labels",
        ),
        Room(
            "report", "report", "data/08_reporting",
            ("store", "gate", "model", "features", "linear_scores", "knn_scores", "diagnosis", "finetune_scores"), ("report", "seed"),
            ("ssl_pipelines.reporting.report:report",),
        ),
        Room(
            "transfer_eval", "transfer_scores", "data/10_transfer", ("model", "linear_scores"), ("transfer_eval", "extract_features", "seed"),
            ("ssl_pipelines.evaluation.transfer:answer", "ssl_pipelines.evaluation.transfer:transfer_scores",
             "ssl_pipelines.reporting.transfer:write_transfer_page"), ("transfer_eval.json", "transfer_eval.datasets.json", "transfer_eval.html"),
            resumes=True, on_request=True, runs_methods=True, check="ssl_pipelines.orchestration.transfer:check_transfer",
        ),
        Room(
            "select", "selection", "data/11_selection", ("store", "features", "linear_scores"), ("select", "seed"),
            ("ssl_pipelines.evaluation.selection:select", "ssl_pipelines.evaluation.selection_trial:trial",
             "ssl_pipelines.reporting.selection:write_selection_page"), on_request=True,
        ),
    )
}  # fmt: skip
# What is done with finished models: nothing stands on them, so nothing is kept fresh. Name -> the artifacts of this project that they read.
TOOLS: dict[str, tuple[str, ...]] = {
    "promote": ("store", "model", "linear_scores"),
    "export": (),  # of what stands there, or of another model: it is never trained for this
    "compare": (),  # finished runs, wherever they were made
    "embed": (),  # the model may be any that is finished: none is trained for it
    "search": (),
}
# What is not followed. The table of methods only says where each lies, and the class that runs is a root of its own. What the blocks of a
# run are resolved to is in every fingerprint, value by value, so the functions that resolve them need not be in the code as well. How
# threads wait, and how many there are, is the runtime's matter.
CUT = {
    "*": ("TABLE", "set_thread_environment", "usable_cores"),
    "ssl_pipelines.training.config:RunConfig": ("method_config", "resolved_backbone", "resolved_optimizer", "check_views"),
}
BY_ARTIFACT = {room.artifact: room for room in ROOMS.values()}


def upstream(name: str) -> list[str]:
    """The rooms that `name` stands on, itself last, in the order in which they run."""
    needed = {name}
    for room in reversed(ROOMS.values()):
        if room.name in needed:
            needed |= {BY_ARTIFACT[artifact].name for artifact in room.inputs}
    return [room for room in ROOMS if room in needed]


def before_tool(name: str) -> list[str]:
    """The rooms that make what a tool reads, in the order in which they run."""
    needed = {room for artifact in TOOLS[name] for room in upstream(BY_ARTIFACT[artifact].name)}
    return [room for room in ROOMS if room in needed]


def roots_of(room: Room, *methods: str) -> tuple[str, ...]:
    """The definitions to follow: the room's own, and the methods' classes where the room runs them."""
    return (*room.code, *map(class_root, methods)) if room.runs_methods else room.code
