//! Which bytes of a disk changed, and where their new content comes from. Never the content itself.
//!
//! Invariant: runs do not overlap, are not empty, and two that touch have different sources.

use std::collections::BTreeMap;

/// Where bytes come from. A source holds the byte of a disk offset at that same offset, so equal pieces are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The disk as it was before the log began.
    Base,
    /// The write that is entry N of the log.
    Write(u32),
    /// Zeros: what a discard leaves here.
    Zero,
}

/// A stretch of a disk from one source. Offsets in bytes, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// First byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
    /// Where its bytes come from.
    pub source: Source,
}

/// Changes on top of something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    runs: BTreeMap<u64, (u64, Source)>,
}

impl Layer {
    /// Changes `start..end`; an empty range changes nothing.
    pub fn put(&mut self, start: u64, end: u64, source: Source) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        // The run that begins before and reaches into or up to the new one.
        if let Some((&at, &(until, old))) = self.runs.range(..start).next_back()
            && until >= start
        {
            if old == source {
                start = at;
                end = end.max(until);
            } else {
                if until > start {
                    self.runs.insert(at, (start, old));
                }
                if until > end {
                    self.runs.insert(end, (until, old));
                }
            }
        }
        while let Some((&at, &(until, old))) = self.runs.range(start..=end).next() {
            if at == end && old != source {
                break;
            }
            self.runs.remove(&at);
            if until > end {
                if old == source {
                    end = until;
                } else {
                    self.runs.insert(end, (until, old));
                    break;
                }
            }
        }
        self.runs.insert(start, (end, source));
    }

    /// The changed parts of `start..end`, in order.
    pub fn changes(&self, start: u64, end: u64) -> impl Iterator<Item = Piece> + '_ {
        let before = self.runs.range(..start).next_back();
        before
            .into_iter()
            .chain(self.runs.range(start..end.max(start)))
            .filter_map(move |(&at, &(until, source))| {
                let piece = Piece {
                    start: at.max(start),
                    end: until.min(end),
                    source,
                };
                (piece.start < piece.end).then_some(piece)
            })
    }

    /// All changes, in order.
    pub fn all(&self) -> impl Iterator<Item = Piece> + '_ {
        self.changes(0, u64::MAX)
    }

    /// Number of runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// Puts `pieces` into `list`, joined to the last one where that is the same stretch of the same source.
pub fn push(list: &mut Vec<Piece>, piece: Piece) {
    if let Some(last) = list.last_mut()
        && last.end == piece.start
        && last.source == piece.source
    {
        last.end = piece.end;
    } else if piece.start < piece.end {
        list.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(layer: &Layer) -> Vec<(u64, u64, Source)> {
        layer.all().map(|p| (p.start, p.end, p.source)).collect()
    }

    #[test]
    fn later_wins_and_neighbours_join() {
        let mut layer = Layer::default();
        layer.put(10, 20, Source::Write(1));
        layer.put(12, 14, Source::Write(2));
        layer.put(14, 16, Source::Write(2));
        layer.put(30, 30, Source::Zero);
        assert_eq!(
            ranges(&layer),
            [
                (10, 12, Source::Write(1)),
                (12, 16, Source::Write(2)),
                (16, 20, Source::Write(1))
            ]
        );
        let cut: Vec<_> = layer.changes(11, 13).map(|p| (p.start, p.end)).collect();
        assert_eq!(cut, [(11, 12), (12, 13)]);
    }

    proptest! {
        #[test]
        fn agrees_with_an_array(
            puts in proptest::collection::vec((0usize..40, 0usize..12, 0u32..3), 0..30),
            from in 0u64..50, to in 0u64..50,
        ) {
            let mut layer = Layer::default();
            let mut array = [None; 64];
            for (start, len, number) in puts {
                layer.put(start as u64, (start + len) as u64, Source::Write(number));
                array[start..start + len].fill(Some(Source::Write(number)));
            }
            let mut seen = [None; 64];
            let mut last: Option<Piece> = None;
            for piece in layer.all() {
                prop_assert!(piece.start < piece.end);
                if let Some(last) = last {
                    prop_assert!(last.end < piece.start || last.end == piece.start && last.source != piece.source);
                }
                seen[piece.start as usize..piece.end as usize].fill(Some(piece.source));
                last = Some(piece);
            }
            prop_assert_eq!(seen, array);
            for piece in layer.changes(from, to) {
                prop_assert!(from <= piece.start && piece.end <= to);
                prop_assert!(array[piece.start as usize..piece.end as usize].iter().all(|s| *s == Some(piece.source)));
            }
            let covered: u64 = layer.changes(from, to).map(|p| p.end - p.start).sum();
            let want = array.iter().enumerate().filter(|(i, s)| s.is_some() && (from..to).contains(&(*i as u64))).count();
            prop_assert_eq!(covered, want as u64);
        }
    }
}
