"""The commands of this package; each imports what it needs when it is called."""
