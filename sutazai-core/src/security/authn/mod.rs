//! Who somebody is: factors, and the way through several of them.
