"""fashion_mnist: images of clothing in MNIST's format (Xiao et al. 2017)."""

from infomax_tune.parts.datasets._images import image_set

fashion_mnist = image_set("fashion_mnist", "FashionMNIST", place=2, explanation="28 x 28 images of clothing")
