"""infomax-tune: how does the activation function of a layer change what it learns?"""

from infomax_tune.errors import InfomaxTuneError

__version__ = "0.1.0"
__all__ = ["InfomaxTuneError", "__version__"]
