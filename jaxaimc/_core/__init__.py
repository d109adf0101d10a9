"""What the packages share and users do not see: components, checks, random draws, rounding, products."""
