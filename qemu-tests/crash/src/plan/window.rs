//! Windows: the stretches of a log between two flushes, and what in them can make a difference.

use std::io;

use roamcore_disk::region::ReadAt;

use crate::layer::{Layer, Source};
use crate::log::Entry;
use crate::state::{Recording, State};

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// Bytes that are compared at once.
const CHUNK: u64 = 1 << 20;

/// Parts of the disk that no boot depends on; writes there take part in no combination.
#[derive(Debug, Clone, Default)]
pub struct Regions {
    cold: Vec<(u64, u64)>,
}

impl Regions {
    /// With these byte ranges cold.
    #[must_use]
    pub const fn new(cold: Vec<(u64, u64)>) -> Self {
        Self { cold }
    }

    /// Whether a change of these bytes can matter.
    #[must_use]
    pub fn relevant(&self, (start, end): (u64, u64)) -> bool {
        !self
            .cold
            .iter()
            .any(|(from, to)| *from <= start && end <= *to)
    }
}

/// A write or discard that may or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Number of the log entry.
    pub index: u32,
    /// Ranges of sectors that it changes, seen from the last flush or from the write before it.
    pub changed: Vec<(u64, u64)>,
    /// Whether it can be torn; discards are taken whole.
    pub torn: bool,
}

impl Open {
    /// The units of `unit` bytes of the disk in which it changes something, by number.
    #[must_use]
    pub fn units(&self, unit: u64) -> Vec<u64> {
        if !self.torn {
            return Vec::new();
        }
        let mut list: Vec<u64> = self
            .changed
            .iter()
            .flat_map(|(start, end)| start / unit..end.div_ceil(unit))
            .collect();
        list.dedup();
        list
    }
}

/// One window. Numbers are indices of log entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Position among the windows of the log, from 0.
    pub number: usize,
    /// First entry.
    pub first: u32,
    /// The entry after the last one: the flush that ends it, or the log's end.
    pub end: u32,
    /// What may or may not have happened, in order, and makes a difference to a boot. The rest is taken as there.
    pub open: Vec<Open>,
    /// The last mark at or before it.
    pub mark: Option<String>,
}

/// Splits a log.
///
/// # Errors
/// The disk or the log cannot be read.
pub fn windows<B: ReadAt + Sync, L: ReadAt + Sync>(
    recording: &Recording<B, L>,
    regions: &Regions,
) -> io::Result<Vec<Window>> {
    let entries = recording.log.entries();
    let mut list: Vec<Window> = Vec::new();
    let (mut mark, mut first) = (None, 0_u32);
    let mut durable = Layer::default();
    // The parser bounds the number of entries far below 2^32.
    let end = entries.len() as u32;
    for (index, entry) in (0_u32..).zip(entries) {
        match entry {
            Entry::Mark(text) => mark = Some(text.clone()),
            Entry::Write { .. } | Entry::Discard { .. } => {}
            Entry::Flush => {
                let number = list.len();
                let window = window(recording, regions, &durable, (number, first, index))?;
                settle(&window, entries, &mut durable);
                list.push(Window {
                    mark: mark.clone(),
                    ..window
                });
                first = index + 1;
            }
        }
    }
    if first < end {
        let last = window(recording, regions, &durable, (list.len(), first, end))?;
        list.push(Window { mark, ..last });
    }
    Ok(list)
}

/// Makes a whole window durable.
pub fn settle(window: &Window, entries: &[Entry], durable: &mut Layer) {
    for index in window.first..window.end {
        let Some(entry) = entries.get(index as usize) else {
            return;
        };
        let source = match entry {
            Entry::Write { .. } => Source::Write(index),
            Entry::Discard { .. } => Source::Zero,
            Entry::Flush | Entry::Mark(_) => continue,
        };
        if let Some((start, end)) = entry.range() {
            durable.put(start, end, source);
        }
    }
}

fn window<B: ReadAt + Sync, L: ReadAt + Sync>(
    recording: &Recording<B, L>,
    regions: &Regions,
    durable: &Layer,
    (number, first, end): (usize, u32, u32),
) -> io::Result<Window> {
    let entries = recording.log.entries();
    let mut window = Window {
        number,
        first,
        end,
        open: Vec::new(),
        mark: None,
    };
    let mut so_far = State {
        recording,
        durable,
        top: Layer::default(),
    };
    for index in first..end {
        let Some(entry) = entries.get(index as usize) else {
            break;
        };
        let Some(range) = entry.range() else {
            continue;
        };
        let (torn, fua, source) = match entry {
            Entry::Write { fua, .. } => (true, *fua, Source::Write(index)),
            _ => (false, false, Source::Zero),
        };
        if regions.relevant(range) && !(fua && index + 1 < end) {
            let changed = match torn {
                true => changed(&so_far, index, range)?,
                false => vec![range],
            };
            if !changed.is_empty() {
                window.open.push(Open {
                    index,
                    changed,
                    torn,
                });
            }
        }
        so_far.top.put(range.0, range.1, source);
    }
    Ok(window)
}

/// Sectors in which a write differs from what was durable, or from what was there when it came.
fn changed<B: ReadAt + Sync, L: ReadAt + Sync>(
    so_far: &State<'_, B, L>,
    index: u32,
    (start, end): (u64, u64),
) -> io::Result<Vec<(u64, u64)>> {
    let durable = State {
        recording: so_far.recording,
        durable: so_far.durable,
        top: Layer::default(),
    };
    let covered = so_far.top.changes(start, end).next().is_some();
    let mut list: Vec<(u64, u64)> = Vec::new();
    let size = CHUNK.min(end - start) as usize;
    let (mut new, mut old) = (vec![0; size], vec![0; size]);
    for at in (start..end).step_by(CHUNK as usize) {
        let len = CHUNK.min(end - at) as usize;
        so_far
            .recording
            .log
            .read(index, at - start, &mut new[..len])?;
        let mut compare = |state: &State<'_, B, L>, differs: &mut [bool]| -> io::Result<()> {
            state.read_exact_at(&mut old[..len], at)?;
            let sectors = new[..len].chunks(SECTOR as usize);
            for ((a, b), differs) in sectors.zip(old[..len].chunks(SECTOR as usize)).zip(differs) {
                *differs |= a != b;
            }
            Ok(())
        };
        let mut differs = vec![false; len.div_ceil(SECTOR as usize)];
        compare(&durable, &mut differs)?;
        if covered {
            compare(so_far, &mut differs)?;
        }
        for (number, _) in (0_u64..).zip(differs).filter(|(_, differs)| *differs) {
            let sector = at + number * SECTOR;
            match list.last_mut() {
                Some(last) if last.1 == sector => last.1 += SECTOR,
                _ => list.push((sector, sector + SECTOR)),
            }
        }
    }
    Ok(list)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::log::{Log, LogWriter};
    use crate::state::Bytes;

    pub type Small = Recording<Bytes<Vec<u8>>, Bytes<Vec<u8>>>;

    /// An empty disk of 64 KiB and what happened to it.
    pub fn recording(log: LogWriter) -> Small {
        let bytes = log.finish();
        let length = bytes.len() as u64;
        Recording {
            base: Bytes(vec![0; 1 << 16]),
            size: 1 << 16,
            log: Log::parse(Bytes(bytes), length).unwrap(),
        }
    }

    #[test]
    fn flushes_split_and_what_makes_no_difference_stays_out() {
        let mut log = LogWriter::new(512);
        log.write(0, &[1; 512]);
        log.write(4096, &[1; 512]);
        log.write(1024, &[0; 512]);
        log.flush();
        log.mark("armed");
        log.flush();
        log.write(0, &[1; 1024]);
        log.write(0, &[0; 512]);
        log.write(0, &[1; 512]);
        let recording = recording(log);
        let found = windows(&recording, &Regions::new(vec![(4096, 8192)])).unwrap();
        let open = |w: &Window| -> Vec<_> {
            w.open
                .iter()
                .map(|o| (o.index, o.changed.clone()))
                .collect()
        };
        assert_eq!(found.len(), 3);
        assert_eq!(open(&found[0]), [(0, vec![(0, 512)])]);
        assert_eq!(open(&found[1]), []);
        // The last write brings back what is durable, but not what the write before it left.
        let last = [
            (6, vec![(512, 1024)]),
            (7, vec![(0, 512)]),
            (8, vec![(0, 512)]),
        ];
        assert_eq!(open(&found[2]), last);
        assert_eq!(found[2].mark.as_deref(), Some("armed"));
    }

    #[test]
    fn units_are_those_of_the_disk() {
        let open = Open {
            index: 0,
            changed: vec![(3584, 4608), (5120, 5632)],
            torn: true,
        };
        assert_eq!(open.units(512), [7, 8, 10]);
        assert_eq!(open.units(4096), [0, 1]);
    }
}
