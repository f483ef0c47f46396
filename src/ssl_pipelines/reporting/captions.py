"""What the columns of a training's pictures are, by the picture's name; by method and name where one's columns are its own."""

from __future__ import annotations

_CODED = "Reconstructions. In each row: the image; what the decoder makes of its code."

CAPTIONS = {
    "views": "What the model was trained on: in each row an image, then the views that were made of it.",
    "saliency": "Foregrounds found without labels, each beside its image; where none was plausible the whole image stands.",
    "reconstructions": "Reconstructions. In each row: what the encoder saw, gray where the image was hidden; the same with what was "
    "predicted filled in; the image.",
    "samples": "Samples: images that the model drew, of nothing but noise.",
    "completions": "Completions. In each row: the upper half that was given; the lower half as the model drew it, pixel after pixel; "
    "the image.",
    "autoencoder/reconstructions": _CODED,
    "beit/predicted_codes": "Predicted codes. In each row: what the encoder saw, gray where patches were hidden; the tokenizer's picture of "
    "the codes, those of hidden patches as predicted; its picture of the true codes; the image.",
    "colorization/colorizations": "Colorizations. In each row: the lightness, which is all that was given; it in the predicted colors; the image.",
    "context_prediction/directions": "Predicted directions. In each row: the grid of patches; the same as the network sees them; the middle "
    "patch with, at each of the eight places around it, the patch that is most believed to lie there.",
    "denoising_autoencoder/reconstructions": "Reconstructions. In each row: the corrupted image; what the network makes of it; the image.",
    "dvae/reconstructions": _CODED,
    "exemplar/surrogate_classes": "Surrogate classes. In each row: the seed patch of an image; five random transforms of it, which are one "
    "class with it.",
    "ibot/masked_crops": "Masked crops. In each row: a large crop as the student sees it, gray where patches are hidden; as the teacher does.",
    "inpainting/inpaintings": "Inpaintings. In each row: the image with its hole; the hole filled; the image.",
    "jigsaw/jigsaws": "Solved puzzles. In each row: the tiles as they were given; in the order that the network predicts; in the true order.",
    "jigsaw_clustering/clusters": "Clusters. In each row: a montage of patches of several images; its upper left patch; the three patches of "
    "the batch whose embeddings are nearest to that one's.",
    "local_mim/histograms": "Histograms of gradients, drawn as stars. In each row: those of the visible cells; with the hidden ones as "
    "predicted; all true ones.",
    "made/levels": "Levels. In each row: what the network reads of an image, a few levels a channel; the image.",
    "mp3/positions": "Solved positions. In each row: the patches that were context, the others gray; all patches put where each was "
    "predicted to belong, the surest where several claim a place, gray where none does; the image.",
    "qb_heat/feature_maps": "Feature maps, the three leading principal components as colors. In each row: the block that was encoded; its "
    "features carried linearly over the other three quarters; for comparison each quarter encoded by itself.",
    "qb_heat/reconstructions": "Reconstructions. In each row: the quarter that was encoded, the rest gray; the other three quarters as they "
    "were decoded from its linearly extended features; the image.",
    "rotation/rotations": "Predicted rotations. In each row: an image turned by 0, 90, 180 and 270 degrees; then each of the four turned "
    "back by the angle that the network predicts, upright where it is right.",
    "split_brain/cross_channel": "Across channels. In each row: the lightness; the lightness in the colors that were predicted from it; the "
    "color; the lightness that was predicted from the color; the image.",
    "vae/reconstructions": _CODED,
    "vq_vae/reconstructions": _CODED,
}


def caption(method: str, name: str) -> str:
    """Of the picture `name` that a training of `method` left. A picture that nobody has described is called by its name."""
    return CAPTIONS.get(f"{method}/{name}") or CAPTIONS.get(name) or name.replace("_", " ")
