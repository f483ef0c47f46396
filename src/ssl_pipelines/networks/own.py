"""The name of an encoder that a method brings itself. Light: the command line reads it before any framework is loaded."""

OWN = "own"  # what `backbone.name` says of methods whose `needs` names it: no other encoder keeps the order of pixels
