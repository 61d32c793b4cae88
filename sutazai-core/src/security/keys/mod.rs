//! Keysets with purposes and states, sealing, wrapping and rotation.
