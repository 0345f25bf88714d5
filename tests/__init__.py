# A package, so that no `tests` which some distribution leaves in site-packages is taken for it.
