"""Everything in memory: the fakes that keep every promise but durability."""
