"""LAR: align source types with target types, then settle the type of each entity."""
