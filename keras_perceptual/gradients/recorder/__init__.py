"""A recorder of a whole training: readings, rules, and what broke."""
