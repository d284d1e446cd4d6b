"""How a function travels: registered once by content, as an argument of a generic caller, or by its id."""
