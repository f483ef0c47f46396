"""What the methods of a family share: an introduction and a drawing."""

from __future__ import annotations

from dataclasses import dataclass

from docs_build.diagram import Arrow, Box, svg


@dataclass(frozen=True, slots=True)
class Family:
    told: str
    boxes: dict[str, Box]
    arrows: tuple[Arrow, ...]
    seen: str  # the drawing, for those who do not see it

    @property
    def drawing(self) -> str:
        return svg(self.boxes, list(self.arrows), self.seen)


INTRODUCTIONS = {
    "pretext": Family(
        "Change an image in a way that the program knows and the network does not, and ask what was done: turned by which angle, shuffled "
        "by which permutation, which color was taken away. The answer costs nothing, and finding it takes knowledge of what things "
        "look like. What makes these tasks hard to get right are shortcuts: an edge that runs on between two patches, a lens that "
        "shifts colors towards the border. Each method here says what it does against them. Late layers serve the task, so most of these "
        "are judged at a middle layer, chosen on validation.",
        {
            "image": Box(0, 0.5, "image", "data"),
            "change": Box(1, 0.5, "known change"),
            "encoder": Box(2, 0.5, "encoder"),
            "guess": Box(3, 0.5, "guess"),
            "answer": Box(3, 1.5, "what was done", "answer"),
        },
        (
            Arrow("image", "change"),
            Arrow("change", "encoder"),
            Arrow("encoder", "guess"),
            Arrow("guess", "answer", "compare", both=True),
            Arrow("change", "answer", dashed=True),
        ),
        "An image is changed in a known way and encoded; the guess of what was done is compared with what was done.",
    ),
    "contrastive": Family(
        "Two views of one image are to have embeddings near each other, and far from those of other images. What is kept is what both views "
        "share; so the views decide what is learned: with strong crops and colors, the object rather than its palette. The methods "
        "differ in where negatives come from (the batch, a memory bank, a queue of older keys, other places of the same image) and "
        "in what is contrasted (whole images, patches, places, modalities).",
        {
            "image": Box(0, 1, "image", "data"),
            "one": Box(1, 0.5, "view 1"),
            "two": Box(1, 1.5, "view 2"),
            "e1": Box(2, 0.5, "encoder\nand projector"),
            "e2": Box(2, 1.5, "the same, or its\nslow copy"),
            "z1": Box(3, 0.5, "embedding", "data"),
            "z2": Box(3, 1.5, "embedding", "data"),
            "others": Box(4, 0.5, "other images'\nembeddings", "answer"),
        },
        (
            Arrow("image", "one"),
            Arrow("image", "two"),
            Arrow("one", "e1"),
            Arrow("two", "e2"),
            Arrow("e1", "z1"),
            Arrow("e2", "z2"),
            Arrow("z1", "z2", "attract", both=True),
            Arrow("z1", "others", "repel", both=True),
        ),
        "Two views of an image are encoded; their embeddings attract each other and repel those of other images.",
    ),
    "clustering": Family(
        "Group the embeddings of all images, and learn to tell the groups apart; better features give better groups, and so on. "
        "The trap is the trivial answer, one group for everything: it is avoided by balanced sampling, by refilling empty clusters, or by "
        "assignments that must use all prototypes alike.",
        {
            "image": Box(0, 0.5, "image", "data"),
            "view": Box(1, 0.5, "view"),
            "encoder": Box(2, 0.5, "encoder"),
            "predicted": Box(3, 0.5, "predicted\ncluster"),
            "all": Box(1, 1.5, "embeddings\nof many images", "data"),
            "group": Box(2, 1.5, "k-means,\nor Sinkhorn"),
            "assigned": Box(3, 1.5, "assigned\ncluster", "answer"),
        },
        (
            Arrow("image", "view"),
            Arrow("view", "encoder"),
            Arrow("encoder", "predicted"),
            Arrow("all", "group", dashed=True),
            Arrow("group", "assigned", dashed=True),
            Arrow("predicted", "assigned", "compare", both=True),
        ),
        "A view is encoded and its cluster predicted; the cluster that it is compared with comes from grouping the embeddings of many images.",
    ),
    "distillation": Family(
        "One network predicts what another says of a different view of the image, without negatives. The other is a slow average of the first "
        "(BYOL, DINO), the same network behind a stop-gradient (SimSiam), or a finished one (feature distillation). What "
        "keeps all images from becoming one point differs: a predictor, centering and sharpening, or terms that ask for variance and "
        "independence of the channels (Barlow Twins, VICReg). The watch looks for that collapse during training.",
        {
            "image": Box(0, 1, "image", "data"),
            "one": Box(1, 0.5, "view 1"),
            "two": Box(1, 1.5, "view 2"),
            "student": Box(2, 0.5, "student"),
            "teacher": Box(2, 1.5, "teacher"),
            "predicted": Box(3, 0.5, "prediction"),
            "target": Box(3, 1.5, "target", "answer"),
        },
        (
            Arrow("image", "one"),
            Arrow("image", "two"),
            Arrow("one", "student"),
            Arrow("two", "teacher"),
            Arrow("student", "predicted"),
            Arrow("teacher", "target", dashed=True),
            Arrow("student", "teacher", "moving average", dashed=True),
            Arrow("predicted", "target", both=True),
        ),
        "The student's prediction from one view is compared with the teacher's output for another view; the teacher is a moving average of the "
        "student, and no gradient enters it.",
    ),
    "generative": Family(
        "Explain the pixels themselves: press the image through a narrow code and paint it again, or predict it pixel by pixel. Much of what "
        "such a model learns is texture, so its features are judged at a layer chosen on validation, and often stay below those of "
        "other families by a linear probe. In return it gives samples, and where the likelihood is exact, bits per dimension as a score of its own.",
        {
            "image": Box(0, 0.5, "image", "data"),
            "encoder": Box(1, 0.5, "encoder"),
            "code": Box(2, 0.5, "code", "data"),
            "decoder": Box(3, 0.5, "decoder"),
            "again": Box(4, 0.5, "image,\nor its probability"),
            "true": Box(4, 1.5, "the true pixels", "answer"),
        },
        (
            Arrow("image", "encoder"),
            Arrow("encoder", "code"),
            Arrow("code", "decoder"),
            Arrow("decoder", "again"),
            Arrow("again", "true", "compare", both=True),
        ),
        "An image is encoded, its code is decoded, and the result is compared with the true pixels.",
    ),
    "masked": Family(
        "Hide a large part of the image and predict it from the rest: its pixels, its discrete codes, its gradients, or what a teacher says "
        "of it. The methods differ in the target, in whether hidden patches enter the encoder at all, and in how "
        "hiding is done. What they gain shows most when the whole network is fine-tuned: read the finetune row beside the linear probe.",
        {
            "image": Box(0, 0.5, "image", "data"),
            "hide": Box(1, 0.5, "hide most\npatches"),
            "encoder": Box(2, 0.5, "encoder"),
            "decoder": Box(3, 0.5, "decoder"),
            "target": Box(3, 1.5, "the hidden part", "answer"),
        },
        (
            Arrow("image", "hide"),
            Arrow("hide", "encoder", "visible"),
            Arrow("encoder", "decoder"),
            Arrow("decoder", "target", "compare", both=True),
            Arrow("hide", "target", dashed=True),
        ),
        "Most patches of an image are hidden; the encoder sees the visible ones, and the decoder's prediction is compared with the hidden part.",
    ),
}
