//! The builder: turns specifications and a lock into signed A/B disk images.
