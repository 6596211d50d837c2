//! A chunk index as published: header and zstd frame as they come.

use super::frames::sample;
use super::index::read;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "index-wire",
    from: "root.index or uki.index, from a server or a stick, as published",
    longest: 2048,
    run: read,
    seeds: || vec![sample().packed.index.clone()],
};
