//! What random sequences once found, by name.
