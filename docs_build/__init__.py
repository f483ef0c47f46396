"""How the documentation site is built: pages of methods, rooms and modules are made from the code, so that they cannot go stale."""
