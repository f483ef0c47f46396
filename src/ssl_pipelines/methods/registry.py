"""The table of contents: what the user types, and where it lives. Listing it loads no framework."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, merged
from ssl_pipelines.networks.config import (
    KINDS,
    RESNETS,
    SMALL_STEM_UP_TO,
    UNPADDED,
    VITS,
    BackboneConfig,
    coarsest_stride,
    fitting_patch_size,
    fitting_stride,
)
from ssl_pipelines.networks.own import OWN
from ssl_pipelines.views.plan import ViewPlan

if TYPE_CHECKING:
    from ssl_pipelines.methods.base import Method


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: the module and class below `ssl_pipelines.methods`, the paper, and what the method needs in words."""

    module: str
    cls: str
    paper: str
    needs: str = "any encoder, any images"

    @property
    def family(self) -> str:
        return self.module.split(".")[0]


TABLE: dict[str, Entry] = {
    "amdim": Entry("contrastive.amdim", "AMDIM", "Bachman et al., NeurIPS 2019, arXiv:1906.00910", "an encoder without padding"),
    "autoencoder": Entry("generative.autoencoder", "Autoencoder", "Hinton & Salakhutdinov, Science 2006"),
    "background_aug": Entry(
        "contrastive.background_aug", "BackgroundAug", "Ryali et al., 2021, arXiv:2103.12719", "dataset.fields=[saliency]"
    ),
    "barlow_twins": Entry("distillation.barlow_twins", "BarlowTwins", "Zbontar et al., ICML 2021, arXiv:2103.03230"),
    "beit": Entry("masked.beit", "BEiT", "Bao et al., ICLR 2022, arXiv:2106.08254", "a ViT; a run of dvae, or trains one first"),
    "byol": Entry("distillation.byol", "BYOL", "Grill et al., NeurIPS 2020, arXiv:2006.07733"),
    "clusterfit": Entry(
        "clustering.clusterfit", "ClusterFit", "Yan et al., CVPR 2020, arXiv:1912.03330", "a finished run as teacher"
    ),
    "cmc": Entry("contrastive.cmc", "CMC", "Tian et al., ECCV 2020, arXiv:1906.05849", "any encoder, color images"),
    "colorization": Entry(
        "pretext.colorization", "Colorization", "Zhang et al., ECCV 2016, arXiv:1603.08511", "any encoder, color images"
    ),
    "context_prediction": Entry(
        "pretext.context_prediction",
        "ContextPrediction",
        "Doersch et al., ICCV 2015, arXiv:1505.05192",
        "an encoder of small patches",
    ),
    "convmae": Entry("masked.convmae", "ConvMAE", "Gao et al., NeurIPS 2022, arXiv:2205.03892", "a ViT, whose blocks it takes"),
    "counting": Entry(
        "pretext.counting", "Counting", "Noroozi et al., ICCV 2017, arXiv:1708.06734", "an encoder that takes quarters of images"
    ),
    "cpc": Entry("contrastive.cpc", "CPC", "van den Oord et al. 2018, arXiv:1807.03748", "a ResNet"),
    "cpc_v2": Entry("contrastive.cpc_v2", "CPCv2", "Hénaff et al., ICML 2020, arXiv:1905.09272", "a ResNet"),
    "deep_mim": Entry(
        "masked.deep_mim", "DeepMIM", "Ren et al., WACV 2025, arXiv:2303.08817", "a ViT; a finished mae if there is one"
    ),
    "deepcluster": Entry("clustering.deepcluster", "DeepCluster", "Caron et al., ECCV 2018, arXiv:1807.05520"),
    "deepcluster_v2": Entry("clustering.deepcluster_v2", "DeepClusterV2", "Caron et al., NeurIPS 2020, arXiv:2006.09882"),
    "denoising_autoencoder": Entry("generative.denoising_autoencoder", "DenoisingAutoencoder", "Vincent et al., ICML 2008"),
    "dim": Entry("contrastive.dim", "DIM", "Hjelm et al., ICLR 2019, arXiv:1808.06670", "a ResNet"),
    "dino": Entry("distillation.dino", "DINO", "Caron et al., ICCV 2021, arXiv:2104.14294"),
    "dvae": Entry(
        "generative.dvae", "DVAE", "Ramesh et al., ICML 2021, arXiv:2102.12092", "an encoder with 1, 2, 4, ... px a place"
    ),
    "exemplar": Entry("pretext.exemplar", "Exemplar", "Dosovitskiy et al., NIPS 2014, arXiv:1406.6909"),
    "feature_distillation": Entry(
        "distillation.feature_distillation",
        "FeatureDistillation",
        "Wei et al., 2022, arXiv:2205.14141",
        "a finished run as teacher",
    ),
    "ibot": Entry("masked.ibot", "IBOT", "Zhou et al., ICLR 2022, arXiv:2111.07832", "a ViT"),
    "igpt": Entry("generative.igpt", "IGPT", "Chen et al., ICML 2020, PMLR 119:1691-1703", "its own network"),
    "inpainting": Entry("pretext.inpainting", "Inpainting", "Pathak et al., CVPR 2016, arXiv:1604.07379", "a map of 2x2 or more"),
    "instdisc": Entry("contrastive.instdisc", "InstDisc", "Wu et al., CVPR 2018, arXiv:1805.01978"),
    "invaspread": Entry("contrastive.invaspread", "InvaSpread", "Ye et al., CVPR 2019, arXiv:1904.03436"),
    "jigsaw": Entry("pretext.jigsaw", "Jigsaw", "Noroozi & Favaro, ECCV 2016, arXiv:1603.09246", "an encoder of small patches"),
    "jigsaw_clustering": Entry(
        "pretext.jigsaw_clustering",
        "JigsawClustering",
        "Chen, Liu & Jia, CVPR 2021, arXiv:2104.00323",
        "a map of 2x2 or more",
    ),
    "local_aggregation": Entry("clustering.local_aggregation", "LocalAggregation", "Zhuang et al., ICCV 2019, arXiv:1903.12355"),
    "local_mim": Entry("masked.local_mim", "LocalMIM", "Wang H. et al., CVPR 2023, arXiv:2303.05251", "a ViT"),
    "made": Entry("generative.made", "MADE", "Germain et al., ICML 2015, arXiv:1502.03509", "its own network"),
    "mae": Entry("masked.mae", "MAE", "He et al., CVPR 2022, arXiv:2111.06377", "a ViT"),
    "moco": Entry("contrastive.moco", "MoCo", "He et al., CVPR 2020, arXiv:1911.05722"),
    "moco_v2": Entry("contrastive.moco_v2", "MoCoV2", "Chen, Fan et al., 2020, arXiv:2003.04297"),
    "moco_v3": Entry("contrastive.moco_v3", "MoCoV3", "Chen, Xie & He, ICCV 2021, arXiv:2104.02057"),
    "mp3": Entry("pretext.mp3", "MP3", "Zhai et al., ICML 2022, arXiv:2207.07611", "a ViT"),
    "pic": Entry("contrastive.pic", "PIC", "Cao et al., NeurIPS 2020, arXiv:2006.14618"),
    "pirl": Entry("contrastive.pirl", "PIRL", "Misra & van der Maaten, CVPR 2020, arXiv:1912.01991"),
    "pix_contrast": Entry(
        "contrastive.pix_contrast", "PixContrast", "Xie et al., CVPR 2021, arXiv:2011.10043", "a map of 4x4 or more"
    ),
    "pixelcnn": Entry("generative.pixelcnn", "PixelCNN", "van den Oord et al., NeurIPS 2016, arXiv:1606.05328", "its own network"),
    "pixelrnn": Entry("generative.pixelrnn", "PixelRNN", "van den Oord et al., ICML 2016, arXiv:1601.06759", "its own network"),
    "qb_heat": Entry(
        "masked.qb_heat", "QBHeat", "Chen, Y. et al., 2022, arXiv:2211.13228", "an encoder that takes blocks of half the side"
    ),
    "rotation": Entry("pretext.rotation", "Rotation", "Gidaris et al., ICLR 2018, arXiv:1803.07728"),
    "simclr": Entry("contrastive.simclr", "SimCLR", "Chen et al., ICML 2020, arXiv:2002.05709"),
    "simclr_v2": Entry("contrastive.simclr_v2", "SimCLRv2", "Chen et al., NeurIPS 2020, arXiv:2006.10029"),
    "simclr_v2_distill": Entry(
        "contrastive.simclr_v2_distill",
        "SimCLRv2Distill",
        "Chen et al., NeurIPS 2020, arXiv:2006.10029",
        "a fine-tuned run as teacher",
    ),
    "simmim": Entry("masked.simmim", "SimMIM", "Xie et al., CVPR 2022, arXiv:2111.09886", "a ViT, or timm's Swin"),
    "simsiam": Entry("distillation.simsiam", "SimSiam", "Chen & He, CVPR 2021, arXiv:2011.10566"),
    "split_brain": Entry(
        "pretext.split_brain", "SplitBrain", "Zhang et al., CVPR 2017, arXiv:1611.09842", "any encoder, color images"
    ),
    "swav": Entry("clustering.swav", "SwAV", "Caron et al., NeurIPS 2020, arXiv:2006.09882"),
    "vae": Entry("generative.vae", "VAE", "Kingma & Welling, ICLR 2014, arXiv:1312.6114"),
    "vicreg": Entry("distillation.vicreg", "VICReg", "Bardes et al., ICLR 2022, arXiv:2105.04906"),
    "vq_vae": Entry("generative.vq_vae", "VQVAE", "van den Oord et al., NeurIPS 2017, arXiv:1711.00937", "a map of 2x2 or more"),
}


# What an optimizer starts from where it is not the method's own. LARS: Chen et al. 2020; AdamW: He et al. 2022, for small batches.
PLAIN_OPTIMIZERS = {
    "sgd": OptimizerConfig(),
    "adamw": OptimizerConfig(name="adamw", lr=5e-4, weight_decay=0.05),
    "lars": OptimizerConfig(name="lars", lr=0.3, weight_decay=1e-6),
}
NEEDED = {"resnet": "a ResNet", "vit": "a ViT that drops tokens", "unpadded": "an encoder without padding"}
READ_BY = {
    "stem": RESNETS,
    "width": (*RESNETS, *UNPADDED),
    "norm": RESNETS,
    "output_stride": RESNETS,
    "patch_size": tuple(VITS),
    "depth": tuple(VITS),
    "positions": tuple(VITS),
}  # keys of `backbone`

# Their encoders see pieces that the method cuts out itself, or pictures put together of such; a ViT's patches stay small for them.
SEE_PIECES = ("context_prediction", "counting", "jigsaw", "jigsaw_clustering", "pirl")
# Parts a side of the image that are encoded by themselves: the px a place follow the image, of a ResNet's map and of a ViT's.
MAPS_FOLLOW = {"dvae": 1, "qb_heat": 2, "vq_vae": 1}
# Fewest places a side of the last map, over whose places the task goes. A ResNet's map is as coarse as this allows: 4 x 4 of views of
# 32 px, and the papers' 7 x 7 of 224 px.
FEWEST_PLACES = {"inpainting": 4, "jigsaw_clustering": 4, "pix_contrast": 4}
# Made for one grid, that of the image.
ONE_SIZE = ("beit", "local_mim", "mp3", "qb_heat", "simmim")


def module_of(name: str) -> str:
    if name not in TABLE:
        raise unknown("method", name, TABLE)
    return f"ssl_pipelines.methods.{TABLE[name].module}"


def class_root(name: str) -> str:
    """ssl_pipelines.methods.<family>.<module>:<Class>"""
    return f"{module_of(name)}:{TABLE[name].cls}"


def method_class(name: str) -> type[Method]:
    """The class behind a name. Raises InputError, with the nearest match, for a name that is not in the table."""
    found: type[Method] = getattr(import_module(module_of(name)), TABLE[name].cls)
    return found


def method_config(name: str, values: dict[str, Any] | None) -> MethodConfig:
    """The block `methods.<name>` over the paper's values. Raises InputError for an unknown key or a value out of range."""
    cls = method_class(name).Config
    if values is not None and not isinstance(values, dict):
        raise InputError(f"methods.{name}={values!r}: a block of keys is expected. Allowed keys: {', '.join(cls.model_fields)}")
    values = values or {}
    defaults = cls.of({key: values[key] for key in cls.chosen_first if key in values}, f"methods.{name}")
    return cls.of(merged(defaults, values), f"methods.{name}")


def resolved_optimizer(name: str, values: dict[str, Any] | None) -> OptimizerConfig:
    """The block `pretrain.optimizer` over the method's own. Another optimizer than the method's starts from its plain defaults."""
    values = dict(values or {})
    own = method_class(name).recipe.optimizer
    chosen = values.get("name", own.name)
    start = own if chosen == own.name else PLAIN_OPTIMIZERS.get(chosen, OptimizerConfig())
    return OptimizerConfig.of(merged(start, values), "pretrain.optimizer")


def resolved_backbone(
    name: str, values: dict[str, Any] | None, sizes: Collection[int] = (), trained_on: int | None = None
) -> BackboneConfig:
    """The block `backbone`, with `auto` replaced by the method's choice. Raises InputError where the method cannot use it.

    A named encoder of the kind that the method would choose keeps the rest of the method's choice, but for the depth, which is the name's.
    `sizes` of the views, px: where they are known, a ViT's patches and some methods' maps follow them, unless their size is given.
    `trained_on`: px of the pieces on which the encoder is trained, where these are smaller; a ResNet's stem follows them."""
    values = dict(values or {})
    cls = method_class(name)
    own = cls.recipe.backbone
    config = BackboneConfig.of(values, "backbone")
    if OWN in cls.needs or config.name == OWN:
        return _own_network(name, config)
    if config.name == "auto":
        config = BackboneConfig.of(merged(own, values | {"name": own.name}), "backbone")
    elif any({config.name, own.name} <= set(names) for names in KINDS.values()):
        config = BackboneConfig.of(merged(own.model_copy(update={"depth": None}), values), "backbone")
    for kind in (need for need in cls.needs if need in KINDS and config.name not in KINDS[need]):
        found = f"method={name!r} needs {NEEDED[kind]}, backbone.name={config.name!r} is not one"
        raise InputError(f"{found}. Allowed: auto, {', '.join(KINDS[kind])}")
    plain = BackboneConfig()
    for key, names in READ_BY.items():
        if config.name not in names and getattr(config, key) != getattr(plain, key):
            found = f"backbone.{key}={getattr(config, key)!r}"
            raise InputError(f"{found} is read by {', '.join(names)}; with backbone.name={config.name!r} it would be ignored")
    if config.drop_path and config.name in (*RESNETS, *UNPADDED):
        raise InputError(
            f"backbone.drop_path={config.drop_path} is read by ViTs and timm models; backbone.name={config.name!r} has none"
        )
    if config.name in VITS and config.depth is None:  # what is stored rebuilds the network, whatever a name means later
        config = config.model_copy(update={"depth": VITS[config.name][1]})
    if not sizes:
        return config
    if config.name in RESNETS and config.stem == "auto" and (trained_on or max(sizes)) <= SMALL_STEM_UP_TO < max(sizes):
        config = config.model_copy(update={"stem": "small"})
    return config.model_copy(update=_fitted_to(name, config, sizes, values))


def _fitted_to(name: str, config: BackboneConfig, sizes: Collection[int], given: Collection[str]) -> dict[str, int]:
    """The keys of `config` that follow the views, with what they become."""
    parts, largest = MAPS_FOLLOW.get(name), max(sizes)
    if config.name in VITS and "patch_size" not in given and name not in SEE_PIECES:
        halves = {largest // parts} if parts and largest % parts == 0 else set()
        return {"patch_size": fitting_patch_size({*sizes, *halves})}
    if config.name in RESNETS and "output_stride" not in given and config.output_stride:
        if parts:
            return {"output_stride": fitting_stride(largest, config.output_stride, parts)}
        if name in FEWEST_PLACES:
            return {"output_stride": coarsest_stride(largest, FEWEST_PLACES[name])}
    return {}


def check_views(name: str, plan: ViewPlan) -> None:
    """`plan` with every size filled in. Raises InputError for views of another size than the image's where the method has one grid."""
    for key, group in plan.groups.items():
        if name in ONE_SIZE and group.same_as is None and group.size != plan.size:
            raise InputError(f"methods.{name}.views.groups.{key}.size={group.size}: allowed is the view size, {plan.size}")


def _own_network(name: str, config: BackboneConfig) -> BackboneConfig:
    """For a method that brings its network: nothing else is to be asked for."""
    if OWN not in method_class(name).needs:
        raise InputError(f"backbone.name={OWN!r} is the network that a method brings itself, and method={name!r} brings none")
    if config.name not in ("auto", OWN):
        raise InputError(f"method={name!r} brings its own network: backbone.name={config.name!r} would be ignored. Allowed: auto")
    for key, value in config.model_copy(update={"name": "auto"}):
        if value != getattr(BackboneConfig(), key):
            raise InputError(f"backbone.{key}={value!r} would be ignored: method={name!r} brings its own network (methods.{name})")
    return config.model_copy(update={"name": OWN})
