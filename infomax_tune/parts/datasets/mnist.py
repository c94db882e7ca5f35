"""mnist: images of handwritten digits (LeCun et al. 1998)."""

from infomax_tune.parts.datasets._images import image_set

mnist = image_set(
    "mnist", "MNIST", digest="84f9ebafeabe68e9", place=1, explanation="28 x 28 images of handwritten digits"
)
