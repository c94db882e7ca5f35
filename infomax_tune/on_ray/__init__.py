"""Who trains what and where: the only code that imports Ray."""
