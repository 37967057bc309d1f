"""Private and undocumented names of other packages, one module for each package.

No other module uses such names. tests/contracts checks each of them, and fails with the name of
what a new version of a package changed.
"""
