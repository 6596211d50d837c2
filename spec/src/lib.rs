//! What to build, as pure types: appliance, board and overlay specifications.
