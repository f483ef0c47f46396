"""The blocks extract_features, linear_eval, knn_eval, diagnose, finetune, few_labels and select."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ssl_pipelines.artifacts.config import ONE_OR_SEVERAL, Config
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.views.plan import ViewRecipe

Share = Annotated[float, Field(gt=0, le=1)]
LEAST_BUDGET = 2  # labels: a classifier needs two classes
Budget = Annotated[int, Field(ge=LEAST_BUDGET, le=10_000)]


class ExtractConfig(Config):
    batch_size: int = Field(default=512, ge=1, le=65536)  # images at a time; the features do not depend on it
    random_init_seeds: int = Field(default=3, ge=1, le=20)


class LinearConfig(Config):
    num_values: int = Field(default=9, ge=3, le=100)  # of l2, evenly in its logarithm; Ericsson et al. 2021 take 45
    max_iterations: int = Field(default=1000, ge=1, le=100_000)  # of L-BFGS, for each value
    standardize: bool = True  # each feature to mean 0 and standard deviation 1 over the images that are fitted


class KnnConfig(Config):
    k: int = Field(default=20, ge=1, le=100_000)  # 20: DINO, 200: InstDisc; at most the bank's size is used
    temperature: float = Field(default=0.07, gt=0, le=1000)


class DiagnoseConfig(Config):
    images: int = Field(default=2000, ge=10, le=100_000)  # of train and validation, by their stored features
    view_images: int = Field(default=400, ge=10, le=5000)  # of these, by views that have to be encoded
    views: int = Field(default=10, ge=2, le=100)  # of the training's, an image, for LiDAR; the paper: 50 of 1000 images
    random_init_seeds: int = Field(default=1, ge=1, le=20)  # whose views are encoded; at most as many as extract_features has
    neighbors: int = Field(default=10, ge=1, le=1000)
    kmeans_starts: int = Field(default=5, ge=1, le=100)
    eval_layer: str | None = None
    """The layer whose features are diagnosed, `final` for what `encode` gives. None: the one that linear_eval scored; name another to
    look at a layer that was not chosen."""


class FinetuneOptimizer(OptimizerConfig):
    name: Literal["sgd", "adamw", "lars"] = "adamw"
    lr: float = Field(default=1e-3, gt=0, le=100)
    lr_batch: int | None = Field(default=None, ge=1)
    weight_decay: float = Field(default=0.05, ge=0, le=1)


class Augmentation(ViewRecipe):
    """Shifts alone: a mirrored digit is another sign. For photographs finetune.augmentation.flip=0.5 is usual."""

    crop: Literal["resized", "padded", "none"] = "padded"
    flip: float = Field(default=0.0, ge=0, le=1)


Stages = Annotated[int, Field(ge=1, le=1000)]


class FinetuneRecipe(Config):
    """How a network is trained on labels. From scratch every layer learns, at one rate; all else is shared with it."""

    batch_size: int = Field(default=128, ge=2, le=65536)
    optimizer: FinetuneOptimizer = FinetuneOptimizer()
    augmentation: Augmentation = Augmentation()
    stage: str | None = None  # of the encoder, on which the head is put; None: where the method puts it
    trainable: Literal["all", "head"] | Stages = "all"  # a number: the last so many stages (ResNet) or blocks (ViT), and the head
    layer_decay: float = Field(
        default=1.0, gt=0, le=1
    )  # of the learning rate, a stage or block towards the input; BEiT, MAE: 0.65 to 0.75
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # share of each target that is spread over all classes
    mixup: float = Field(
        default=0.0, ge=0, le=100
    )  # alpha of Beta(alpha, alpha), 0: off; with cutmix too each step takes one of them
    cutmix: float = Field(default=0.0, ge=0, le=100)


class FinetuneConfig(FinetuneRecipe):
    images_seen: int = Field(default=20_000, ge=1)  # images drawn, by each of the two networks
    labels_fraction: float = Field(default=1.0, gt=0, le=1)  # of every class's labeled images, at least one: 0.1 and 0.01 are usual


class FewFinetune(FinetuneRecipe):
    draws: int = Field(default=3, ge=0, le=1000)  # of those below, the first; 0: no fine-tuning
    at: Literal["fractions", "all"] = "fractions"  # all: at shots too
    images_seen: int = Field(default=4000, ge=1)  # images drawn, by each network of each draw
    batch_size: int = Field(default=32, ge=2, le=65536)  # small, so that few images drawn are steps enough for fresh weights


class FewLabelsConfig(Config):
    """Which labels are drawn, how often, and what learns from them. 100 % can be drawn in one way alone."""

    shots: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], ONE_OR_SEVERAL] = (1, 5, 20)  # labels of every class
    fractions: Annotated[tuple[Share, ...], ONE_OR_SEVERAL] = (0.01, 0.05, 0.1, 1.0)  # of every class's labels
    draws: int = Field(default=10, ge=1, le=1000)
    labels_drawn: int = Field(
        default=10_000, ge=1
    )  # by all draws of a setting; large draws differ little, so beyond it there are fewer, 3 at least
    eval_layer: str | None = None
    """The layer whose features the labels are put on, `final` for what `encode` gives. None: the one that linear_eval scored; `best`
    chooses among all layers within each draw, for the case in which no more labels than the draw's are to play a part."""
    l2_values: int = Field(default=7, ge=3, le=100)  # of the logistic regression
    max_iterations: int = Field(default=1000, ge=1, le=100_000)  # of L-BFGS, for each value
    one_shot_l2: float = Field(default=1.0, gt=0, le=1e6)  # where no class has a second label, and l2 cannot be chosen
    finetune: FewFinetune = FewFinetune()
    timm: str | None = None  # a model of timm whose ImageNet weights are judged too: from the local cache, or downloaded
    timm_size: int = Field(default=96, ge=32, le=1024)  # px to which images are resized for it

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.shots and not self.fractions:
            raise ValueError("shots and fractions are both empty: nothing would be drawn")
        return self


class SelectConfig(Config):
    strategy: Literal["typicality", "coreset", "random"] = "typicality"
    count: int = Field(default=100, ge=1, le=100_000)  # images to label next; where none is given, at most those without a label
    eval_layer: str | None = None
    """The layer by whose features images are chosen, `final` for what `encode` gives. None: the one that linear_eval scored, and `final`
    where no label was there to score with."""
    simulate: bool = False  # also measure the strategies: labels that are there are hidden, and asked for where a strategy says
    budgets: Annotated[tuple[Budget, ...], ONE_OR_SEVERAL] = (10, 20, 50, 100, 200)  # labels, of the simulation
    draws: int = Field(default=20, ge=2, le=1000)  # of each strategy at each budget
    pool: int = Field(default=10_000, ge=10, le=1_000_000)  # images from which each draw chooses, at most

    @field_validator("budgets")
    @classmethod
    def _each_once(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if not budgets:
            raise ValueError("one number of labels at least is expected")
        return tuple(sorted(set(budgets)))

    def fitted(self, unlabeled: int, hidden: int) -> Self:
        """The same, where what nobody gave fits the data: images without a label to choose from, and images whose label can be hidden
        for the simulation. Where there are none of a kind, what is said of them stays as it is."""
        changes: dict[str, int | tuple[int, ...]] = {}
        if "count" not in self.model_fields_set and 0 < unlabeled < self.count:
            changes["count"] = unlabeled
        most = min(hidden, self.pool)
        if "budgets" not in self.model_fields_set and LEAST_BUDGET <= most < max(self.budgets):
            changes["budgets"] = tuple(budget for budget in self.budgets if budget <= most) or (most,)
        return self.model_copy(update=changes)
