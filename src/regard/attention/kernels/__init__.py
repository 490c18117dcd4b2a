"""Fast paths, each tested against the tile-by-tile twin."""
