//! The audit log: append-only, in a Merkle tree, with signed checkpoints and proofs.
