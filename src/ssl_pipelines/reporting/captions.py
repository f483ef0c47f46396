"""What the columns of a training's pictures are, by the picture's name; by method and name where one's columns are its own."""

from __future__ import annotations

CAPTIONS = {
    "views": "What the model was trained on: in each row an image, then the views that were made of it.",
    "saliency": "Foregrounds found without labels, each beside its image; where none was plausible the whole image stands.",
    "mae/reconstructions": "Reconstructions. In each row: what the encoder saw, gray where patches were hidden; the same with the decoder's "
    "patches filled in; the image.",
    "mp3/positions": "Solved positions. In each row: the patches that were context, the others gray; all patches put where each was "
    "predicted to belong, the surest where several claim a place, gray where none does; the image.",
    "qb_heat/feature_maps": "Feature maps, the three leading principal components as colors. In each row: the block that was encoded; its "
    "features carried linearly over the other three quarters; for comparison each quarter encoded by itself.",
    "qb_heat/reconstructions": "Reconstructions. In each row: the quarter that was encoded, the rest gray; the other three quarters as they "
    "were decoded from its linearly extended features; the image.",
    "rotation/rotations": "Predicted rotations. In each row: an image turned by 0, 90, 180 and 270 degrees; then each of the four turned "
    "back by the angle that the network predicts, upright where it is right.",
}


def caption(method: str, name: str) -> str:
    """Of the picture `name` that a training of `method` left. A picture that nobody has described is called by its name."""
    return CAPTIONS.get(f"{method}/{name}") or CAPTIONS.get(name) or name.replace("_", " ")
