"""A package for the sake of what lies in it: librmon, and pkgconfig."""
