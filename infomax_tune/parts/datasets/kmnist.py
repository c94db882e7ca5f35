"""kmnist: images of cursive Japanese characters in MNIST's format (Clanuwat et al. 2018)."""

from infomax_tune.parts.datasets._images import image_set

kmnist = image_set("kmnist", "KMNIST", place=3, explanation="28 x 28 images of cursive Japanese characters")
