"""The encrypted database of a profile. SQL stands in this package and nowhere else."""
