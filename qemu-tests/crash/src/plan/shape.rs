//! Shapes: what of an open window got through.

use std::fmt;

use crate::layer::{Layer, Source};
use crate::log::Entry;
use crate::rng::Rng;

use super::Window;
use super::window::{Open, SECTOR};

/// Which of the units that a write changes got through when it was torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The first N.
    Head(usize),
    /// All but the first N.
    Tail(usize),
    /// Half of them, drawn with this seed.
    Scattered(u64),
}

/// What of a window got through. Positions count the window's open writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Everything.
    Whole,
    /// Those changed sectors whose bit is set, counted over all writes in order. A discard has one bit.
    Sectors(u64),
    /// The first N writes.
    Prefix(usize),
    /// One alone.
    Only(usize),
    /// All but one.
    Without(usize),
    /// The first N, and of the next one a part, in units of so many bytes.
    Torn(usize, u64, Keep),
    /// Of one alone a part.
    OnlyTorn(usize, u64, Keep),
    /// All of them, but of one only a part.
    AllTorn(usize, u64, Keep),
    /// Any of them, some torn, drawn with this seed.
    Mixed(u64),
}

/// Chances of a write to get through in a mixture, in 256; one is drawn for each mixture.
const THROUGH: [u64; 4] = [64, 128, 192, 256];
/// Chances of a write that got through to be torn.
const TORN: [u64; 4] = [0, 32, 128, 256];

impl Shape {
    /// The changes of the window that this shape lets through.
    #[must_use]
    pub fn layer(self, window: &Window, entries: &[Entry]) -> Layer {
        let mut layer = Layer::default();
        let mut rng = Rng::new(match self {
            Self::Mixed(seed) => seed,
            _ => 0,
        });
        let draw = |rng: &mut Rng, from: [u64; 4]| from[(rng.next() % 4) as usize];
        let chances = (draw(&mut rng, THROUGH), draw(&mut rng, TORN));
        let mut bit = 0;
        let mut open = window.open.iter().enumerate().peekable();
        for index in window.first..window.end {
            let Some(entry) = entries.get(index as usize) else {
                break;
            };
            let Some((position, write)) = open.next_if(|(_, write)| write.index == index) else {
                // It makes no difference, so it may as well be there.
                put(&mut layer, entry, index);
                continue;
            };
            let through = match self {
                Self::Whole => Through::Yes,
                Self::Sectors(mask) => {
                    let first = bit;
                    bit += bits(write);
                    sectors(&mut layer, write, mask >> first);
                    match write.torn {
                        true => Through::No,
                        false => Through::when(mask >> first & 1 == 1),
                    }
                }
                Self::Prefix(n) => Through::when(position < n),
                Self::Only(n) => Through::when(position == n),
                Self::Without(n) => Through::when(position != n),
                Self::Torn(n, unit, keep)
                | Self::OnlyTorn(n, unit, keep)
                | Self::AllTorn(n, unit, keep)
                    if position == n =>
                {
                    Through::Part(unit, keep)
                }
                Self::Torn(n, ..) => Through::when(position < n),
                Self::OnlyTorn(..) => Through::No,
                Self::AllTorn(..) => Through::Yes,
                Self::Mixed(_) => mixed(&mut rng, chances),
            };
            match through {
                Through::Yes => put(&mut layer, entry, index),
                Through::Part(unit, keep) => part(&mut layer, write, entry, unit, keep),
                Through::No => {}
            }
        }
        layer
    }
}

enum Through {
    Yes,
    No,
    Part(u64, Keep),
}

impl Through {
    const fn when(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

fn mixed(rng: &mut Rng, (through, torn): (u64, u64)) -> Through {
    let (through, torn, seed) = (rng.chance(through), rng.chance(torn), rng.next());
    match (through, torn) {
        (false, _) => Through::No,
        (true, false) => Through::Yes,
        (true, true) => {
            let unit = if seed & 1 == 0 { SECTOR } else { 4096 };
            Through::Part(unit, Keep::Scattered(seed))
        }
    }
}

/// Bits of a write in [`Shape::Sectors`].
pub(super) fn bits(write: &Open) -> usize {
    match write.torn {
        true => write.units(SECTOR).len(),
        false => 1,
    }
}

fn put(layer: &mut Layer, entry: &Entry, index: u32) {
    let source = match entry {
        Entry::Write { .. } => Source::Write(index),
        Entry::Discard { .. } => Source::Zero,
        Entry::Flush | Entry::Mark(_) => return,
    };
    if let Some((start, end)) = entry.range() {
        layer.put(start, end, source);
    }
}

fn sectors(layer: &mut Layer, write: &Open, mask: u64) {
    for (bit, sector) in (0..u64::BITS).zip(write.units(SECTOR)) {
        if mask >> bit & 1 == 1 {
            let start = sector * SECTOR;
            layer.put(start, start + SECTOR, Source::Write(write.index));
        }
    }
}

fn part(layer: &mut Layer, write: &Open, entry: &Entry, unit: u64, keep: Keep) {
    let Some((start, end)) = entry.range() else {
        return;
    };
    if !write.torn {
        return put(layer, entry, write.index);
    }
    let mut rng = Rng::new(match keep {
        Keep::Scattered(seed) => seed,
        Keep::Head(_) | Keep::Tail(_) => 0,
    });
    for (number, at) in write.units(unit).into_iter().enumerate() {
        let stays = match keep {
            Keep::Head(n) => number < n,
            Keep::Tail(n) => number >= n,
            Keep::Scattered(_) => rng.chance(128),
        };
        if stays {
            let from = at * unit;
            layer.put(
                from.max(start),
                (from + unit).min(end),
                Source::Write(write.index),
            );
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(n) => write!(f, "the first {n}"),
            Self::Tail(n) => write!(f, "all but the first {n}"),
            Self::Scattered(seed) => write!(f, "half (seed {seed:#x})"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("all writes"),
            Self::Sectors(mask) => write!(f, "changed sectors {mask:#b}"),
            Self::Prefix(n) => write!(f, "the first {n} writes"),
            Self::Only(n) => write!(f, "only write {n}"),
            Self::Without(n) => write!(f, "all but write {n}"),
            Self::Torn(n, unit, keep) => write!(
                f,
                "the first {n} writes and of the next {keep} changed units of {unit}"
            ),
            Self::OnlyTorn(n, unit, keep) => {
                write!(f, "only of write {n} {keep} changed units of {unit}")
            }
            Self::AllTorn(n, unit, keep) => {
                write!(f, "all, but of write {n} {keep} changed units of {unit}")
            }
            Self::Mixed(seed) => write!(f, "a mixture (seed {seed:#x})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::recording;
    use super::*;
    use crate::log::LogWriter;
    use crate::plan::{Regions, windows};

    /// First byte, the byte after the last one, entry.
    type Through = (u64, u64, u32);

    fn through(shape: Shape, writes: &[(u64, usize)]) -> Vec<Through> {
        let mut log = LogWriter::new(512);
        for (number, (offset, sectors)) in (1..).zip(writes) {
            log.write(*offset, &vec![number; sectors * 512]);
        }
        let recording = recording(log);
        let window = &windows(&recording, &Regions::default()).unwrap()[0];
        let runs = shape.layer(window, recording.log.entries());
        runs.all()
            .map(|p| match p.source {
                Source::Write(n) => (p.start, p.end, n),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn shapes_let_through_what_they_say() {
        let log = [(0, 1), (4096, 3), (512, 1)];
        let cases: [(Shape, &[Through]); 8] = [
            (
                Shape::Whole,
                &[(0, 512, 0), (512, 1024, 2), (4096, 5632, 1)],
            ),
            (Shape::Sectors(0b01001), &[(0, 512, 0), (5120, 5632, 1)]),
            (Shape::Sectors(0b10000), &[(512, 1024, 2)]),
            (Shape::Prefix(1), &[(0, 512, 0)]),
            (Shape::Only(1), &[(4096, 5632, 1)]),
            (Shape::Without(1), &[(0, 512, 0), (512, 1024, 2)]),
            (
                Shape::Torn(1, 512, Keep::Tail(1)),
                &[(0, 512, 0), (4608, 5632, 1)],
            ),
            (Shape::OnlyTorn(1, 512, Keep::Head(2)), &[(4096, 5120, 1)]),
        ];
        for (shape, want) in cases {
            assert_eq!(through(shape, &log), want, "{shape}");
        }
    }

    #[test]
    fn blocks_of_four_kib_are_those_of_the_disk() {
        let head = Shape::Torn(0, 4096, Keep::Head(1));
        assert_eq!(through(head, &[(3584, 2)]), [(3584, 4096, 0)]);
    }

    #[test]
    fn a_later_write_wins_over_an_earlier_one_to_the_same_place() {
        let log = [(0, 1), (0, 1)];
        assert_eq!(through(Shape::Whole, &log), [(0, 512, 1)]);
        assert_eq!(through(Shape::Only(0), &log), [(0, 512, 0)]);
    }
}
