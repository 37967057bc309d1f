"""Group relative policy optimisation on TRL's trainer."""
