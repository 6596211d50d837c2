//! Makes a state a disk: writes what it changed over a copy of the base disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use roamcore_disk::region::ReadAt;
use rustix::fs::{FallocateFlags, fallocate};

use crate::layer::{Piece, Source};
use crate::state::{Disk, State};

/// Bytes that are copied at once.
const BUFFER: u64 = 1 << 20;

/// Writes a state's changes to `disk`, which holds the base disk. Gives the number of bytes changed.
///
/// # Errors
/// Reading or writing failed.
pub fn write<B: ReadAt + Sync, L: ReadAt + Sync>(
    state: &State<'_, B, L>,
    disk: &File,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER as usize];
    let mut written = 0;
    let changed = |piece: &Piece| piece.source != Source::Base;
    for piece in state.pieces(0, state.size()).into_iter().filter(changed) {
        // A first boot discards most of a disk: as a hole it costs nothing.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if piece.source == Source::Zero
            && fallocate(disk, hole, piece.start, piece.end - piece.start).is_ok()
        {
            written += piece.end - piece.start;
            continue;
        }
        let mut at = piece.start;
        while at < piece.end {
            let part = &mut buffer[..(piece.end - at).min(BUFFER) as usize];
            state.read_exact_at(part, at)?;
            disk.write_all_at(part, at)?;
            at += part.len() as u64;
            written += part.len() as u64;
        }
    }
    Ok(written)
}
