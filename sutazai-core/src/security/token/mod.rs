//! What they carry: tokens, refreshed, revoked and attenuated.
