//! The allocator as a whole.
