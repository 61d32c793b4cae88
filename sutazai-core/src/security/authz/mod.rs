//! What they may do: Cedar policies behind an index over their scopes.
