"""A package, because some distribution installs another one of this name."""
