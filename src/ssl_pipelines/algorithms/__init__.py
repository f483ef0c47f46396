"""Algorithms that know neither images nor methods: neighbors, spectra, intervals."""
