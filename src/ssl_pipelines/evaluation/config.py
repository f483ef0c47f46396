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
    """How features are extracted from the trained encoder and from its untrained copies."""

    batch_size: int = Field(default=512, ge=1, le=65536)
    """Number of images that are encoded at a time; the features do not depend on it. Lower it where memory runs out."""
    random_init_seeds: int = Field(default=3, ge=1, le=20)
    """Number of untrained copies of the encoder whose features are the baseline. More make the baseline steadier and take
    longer."""


class LinearConfig(Config):
    """The linear probe: a logistic regression on frozen features, whose l2 penalty is chosen on validation."""

    num_values: int = Field(default=9, ge=3, le=100)
    """Number of l2 penalties that are tried on validation, evenly spaced in their logarithm. Raise it for a finer choice; Ericsson
    et al. 2021 take 45."""
    max_iterations: int = Field(default=1000, ge=1, le=100_000)
    """Largest number of L-BFGS iterations for each penalty. Raise it where the log says that the fit has not converged."""
    standardize: bool = True
    """Whether each feature is brought to mean 0 and standard deviation 1 over the images that are fitted. Turn it off to compare
    with papers that fit raw features."""


class KnnConfig(Config):
    """The weighted vote of the nearest training images, by cosine of frozen features."""

    k: int = Field(default=20, ge=1, le=100_000)
    """Number of nearest training images that vote; where there are fewer images, all vote. DINO takes 20, InstDisc 200."""
    temperature: float = Field(default=0.07, gt=0, le=1000)
    """Temperature of the votes: a neighbor counts exp(cosine / temperature). Raise it to count near and far neighbors more
    alike."""


class DiagnoseConfig(Config):
    """How much is looked at to say what the representation is like: ranks, invariances, agreement with labels."""

    images: int = Field(default=2000, ge=10, le=100_000)
    """Number of train and validation images whose stored features are diagnosed. Fewer are faster and widen the intervals."""
    view_images: int = Field(default=400, ge=10, le=5000)
    """Number of images whose augmented views are encoded for the invariance scores. Fewer are faster and widen the intervals."""
    views: int = Field(default=10, ge=2, le=100)
    """Number of training views that are encoded of each image for LiDAR. Fewer are faster; the paper takes 50 of 1,000 images."""
    random_init_seeds: int = Field(default=1, ge=1, le=20)
    """Number of untrained encoders whose views are encoded too, at most `extract_features.random_init_seeds`. More make the
    baseline steadier and take longer."""
    neighbors: int = Field(default=10, ge=1, le=1000)
    """Number of nearest other images whose labels are compared for `neighbor_purity`. Lower it where classes have fewer images."""
    kmeans_starts: int = Field(default=5, ge=1, le=100)
    """Number of starts of k-means, of which the best clustering is compared with the labels. Raise it for steadier NMI and ARI."""
    eval_layer: str | None = None
    """Layer whose features are diagnosed, `final` for what `encode` gives; null is the one that linear_eval scored. Name another to look
    at a layer that was not chosen."""


class FinetuneOptimizer(OptimizerConfig):
    """The optimizer of fine-tuning: AdamW at a fixed learning rate, whatever the method was pretrained with."""

    name: Literal["sgd", "adamw", "lars"] = "adamw"
    """Optimizer that fine-tunes. Change it together with `lr`: SGD and LARS need larger rates than AdamW."""
    lr: float = Field(default=1e-3, gt=0, le=100)
    """Peak learning rate, as it stands or, with `lr_batch`, at that many images. Lower it where the validation loss rises early."""
    lr_batch: int | None = Field(default=None, ge=1)
    """Number of images in a batch for which `lr` is meant: the peak is lr * batch_size / lr_batch. Null takes `lr` as it stands."""
    weight_decay: float = Field(default=0.05, ge=0, le=1)
    """Weight decay on all weights but biases and norms. Raise it where a network learns few labels by heart."""


class Augmentation(ViewRecipe):
    """Random transforms of the labeled images: by default shifts alone, since a mirrored digit is another sign."""

    crop: Literal["resized", "padded", "none"] = "padded"
    """How an image is cut: `padded` shifts it by up to `padding` px, `resized` cuts a random part and resizes it, `none` takes it
    whole. Choose `resized` for photographs."""
    flip: float = Field(default=0.0, ge=0, le=1)
    """Chance, 0 to 1, that an image is mirrored. The default 0 suits digits, whose mirror image is another sign; 0.5 is usual for
    photographs."""


Stages = Annotated[int, Field(ge=1, le=1000)]


class FinetuneRecipe(Config):
    """How a network is trained on labels. The network from scratch shares all of it, but trains every layer at one rate."""

    batch_size: int = Field(default=128, ge=2, le=65536)
    """Number of images in a step; where there are fewer labeled images, all of them. Change it together with the learning rate."""
    optimizer: FinetuneOptimizer = FinetuneOptimizer()
    """Optimizer and schedule by which both networks, the pretrained and the fresh one, learn from labels."""
    augmentation: Augmentation = Augmentation()
    """Random transforms of the labeled images. Adapt them to the images: flips and colors suit photographs, not digits."""
    stage: str | None = None
    """Stage of the encoder on which the classifier is put, null for the one that the method provides. Name an earlier one where the
    last serves the pretext task."""
    trainable: Literal["all", "head"] | Stages = "all"
    """What learns: `all`, the classifier alone (`head`), or the last so many stages (ResNet) or blocks (ViT) and the classifier.
    Freeze more where labels are few."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate for each stage or block further from the output; 1 trains all at one rate. BEiT and MAE take 0.65
    to 0.75 for ViTs."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target, 0 to below 1, that is spread evenly over all classes. 0.1 is usual where many epochs are trained."""
    mixup: float = Field(default=0.0, ge=0, le=100)
    """Parameter alpha of Beta(alpha, alpha), from which the weight of a second image mixed into each is drawn; 0 is off. With
    `cutmix` too, each step takes one of them."""
    cutmix: float = Field(default=0.0, ge=0, le=100)
    """Parameter alpha of Beta(alpha, alpha), from which the area of a box pasted from a second image is drawn; 0 is off. 1 is
    usual, for long training."""


class FinetuneConfig(FinetuneRecipe):
    """How the pretrained network, and one from scratch beside it, are trained on labels."""

    images_seen: int = Field(default=20_000, ge=1)
    """Number of images drawn by each of the two networks, the pretrained and the fresh one. Raise it until both curves are flat."""
    labels_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of every class's labels that is used, at least one label a class. 0.1 and 0.01 are usual to see what few labels
    give."""


class FewFinetune(FinetuneRecipe):
    """How networks are fine-tuned on each draw of few labels."""

    draws: int = Field(default=3, ge=0, le=1000)
    """Number of draws of each setting that are fine-tuned, the first ones of `few_labels.draws`. 0 leaves fine-tuning out, which is
    by far the slowest part."""
    at: Literal["fractions", "all"] = "fractions"
    """Settings that are fine-tuned: the fractions alone, or `all`, the shots too. `all` takes longer."""
    images_seen: int = Field(default=4000, ge=1)
    """Number of images drawn by each network of each draw. Raise it where fine-tuning stays below frozen features."""
    batch_size: int = Field(default=32, ge=2, le=65536)
    """Number of images in a step; small by default, so that few images drawn are steps enough for fresh weights."""


class FewLabelsConfig(Config):
    """Which labels are drawn, how often, and what learns from them. 100 % can be drawn in one way alone."""

    shots: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], ONE_OR_SEVERAL] = (1, 5, 20)
    """Numbers of labels of every class that are drawn, one setting each. Settings that some class has too few labels for are
    skipped with a line."""
    fractions: Annotated[tuple[Share, ...], ONE_OR_SEVERAL] = (0.01, 0.05, 0.1, 1.0)
    """Shares of every class's labels that are drawn, one setting each; 1 takes all of them, once."""
    draws: int = Field(default=10, ge=1, le=1000)
    """Number of random draws of labels for each setting. More narrow the intervals and take longer."""
    labels_drawn: int = Field(default=10_000, ge=1)
    """Number of labels, over all draws of a setting, beyond which fewer draws are made, though 3 at least: large draws differ
    little from each other. Raise it to have all draws everywhere."""
    eval_layer: str | None = None
    """Layer whose features the labels are put on, `final` for what `encode` gives; null is the one that linear_eval scored. `best` chooses
    among all layers within each draw, for the case in which no more labels than the draw's are to play a part."""
    l2_values: int = Field(default=7, ge=3, le=100)
    """Number of l2 penalties of the logistic regression that are tried by cross-validation in each draw. Raise it for a finer
    choice."""
    max_iterations: int = Field(default=1000, ge=1, le=100_000)
    """Largest number of L-BFGS iterations for each penalty. Raise it where fits do not converge."""
    one_shot_l2: float = Field(default=1.0, gt=0, le=1e6)
    """Penalty l2 that is taken where no class has a second label, so that none can be chosen by cross-validation."""
    finetune: FewFinetune = FewFinetune()
    """How the encoder, and fresh weights beside it, are fine-tuned on the drawn labels."""
    timm: str | None = None
    """Name of a timm model whose ImageNet weights are judged beside the encoder, such as `resnet18`; null for none. Weights come
    from the local cache or are downloaded."""
    timm_size: int = Field(default=96, ge=32, le=1024)
    """Side in px to which images are resized for the timm model. Its own size (often 224) is most favorable and slowest."""

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.shots and not self.fractions:
            raise ValueError("shots and fractions are both empty: nothing would be drawn")
        return self


class SelectConfig(Config):
    """Which images to label next, and whether choosing them would have helped."""

    strategy: Literal["typicality", "coreset", "random"] = "typicality"
    """How images to label are chosen: `typicality` takes dense places of each cluster, `coreset` covers the space, `random` is the
    baseline. `typicality` suits small budgets, `coreset` large ones."""
    count: int = Field(default=100, ge=1, le=100_000)
    """Number of images to label next; where no number is given, at most those without a label."""
    eval_layer: str | None = None
    """Layer by whose features images are chosen, `final` for what `encode` gives; null is the one that linear_eval scored, and `final`
    where no label was there to score with."""
    simulate: bool = False
    """Whether the strategies are also measured, by hiding labels that are there and asking for some of them. Turn it on to learn
    which strategy suits your data."""
    budgets: Annotated[tuple[Budget, ...], ONE_OR_SEVERAL] = (10, 20, 50, 100, 200)
    """Numbers of labels at which the simulation compares the strategies."""
    draws: int = Field(default=20, ge=2, le=1000)
    """Number of repetitions of each strategy at each budget of the simulation. More narrow the intervals and take longer."""
    pool: int = Field(default=10_000, ge=10, le=1_000_000)
    """Largest number of images from which each draw of the simulation chooses. Lower it to save time."""

    @field_validator("budgets")
    @classmethod
    def _each_once(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if not budgets:
            raise ValueError("one number of labels at least is expected")
        return tuple(sorted(set(budgets)))

    def fitted(self, unlabeled: int, hidden: int) -> Self:
        """A copy whose defaults fit the data: `count` is at most the number of images without a label, `budgets` at most that of
        images whose label can be hidden for the simulation. Given values stay, and so does a default where there are no such
        images."""
        changes: dict[str, int | tuple[int, ...]] = {}
        if "count" not in self.model_fields_set and 0 < unlabeled < self.count:
            changes["count"] = unlabeled
        most = min(hidden, self.pool)
        if "budgets" not in self.model_fields_set and LEAST_BUDGET <= most < max(self.budgets):
            changes["budgets"] = tuple(budget for budget in self.budgets if budget <= most) or (most,)
        return self.model_copy(update=changes)
