//! Spends a number of states on windows.
//!
//! Windows in which few sectors change are taken apart completely. What is left of the number goes to random mixtures of the
//! others: a window of slot data has thousands of writes of which none matters alone, one of the ESP has thirty that all do.

use crate::rng::Rng;

use super::shape::bits;
use super::window::SECTOR;
use super::{Keep, Shape, Window};

/// Changed sectors up to which every subset is taken: 4096 states at most.
const EXHAUSTED: usize = 12;
/// Positions of one window that are taken alone, left out, and torn; beyond it they are drawn.
const POSITIONS: usize = 64;
/// Places at which one write is cut; beyond it they are drawn.
const CUTS: usize = 8;

/// What to look at, by window.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Shapes for each window, in the order of the windows.
    pub shapes: Vec<Vec<Shape>>,
}

impl Plan {
    /// Number of states.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shapes.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Chooses about `states` states; fewer when there are not that many different ones, more when there are more flushes.
#[must_use]
pub fn plan(windows: &[Window], states: usize, seed: u64) -> Plan {
    let mut shapes: Vec<Vec<Shape>> = windows.iter().map(|w| systematic(w, seed)).collect();
    let wanted = states.saturating_sub(windows.len());
    let inner = shapes.iter().map(Vec::len).sum::<usize>() - windows.len();
    if inner > wanted {
        for (window, list) in windows.iter().zip(&mut shapes) {
            let share = ((list.len() - 1) * wanted).div_ceil(inner.max(1));
            thin(list, share + 1, Rng::fork(seed, &[1, window.number as u64]));
        }
    } else {
        let weights: Vec<usize> = windows.iter().map(weight).collect();
        let total: usize = weights.iter().sum();
        for ((window, list), weight) in windows.iter().zip(&mut shapes).zip(&weights) {
            let mut rng = Rng::fork(seed, &[2, window.number as u64]);
            let share = ((wanted - inner) * weight).div_ceil(total.max(1));
            list.extend((0..share).map(|_| Shape::Mixed(rng.next())));
        }
    }
    Plan { seed, shapes }
}

/// Changed sectors of a window.
fn changes(window: &Window) -> usize {
    window.open.iter().map(bits).sum()
}

/// Everything that is worth looking at without chance, the whole window first.
fn systematic(window: &Window, seed: u64) -> Vec<Shape> {
    let (n, changes) = (window.open.len(), changes(window));
    if changes <= EXHAUSTED {
        // All bits set is the whole window.
        let subsets = (0..(1_u64 << changes) - 1).map(Shape::Sectors);
        return std::iter::once(Shape::Whole).chain(subsets).collect();
    }
    let mut rng = Rng::fork(seed, &[0, window.number as u64]);
    let mut list = vec![Shape::Whole, Shape::Prefix(0)];
    for position in positions(n, &mut rng) {
        if n > 1 {
            list.extend([
                Shape::Prefix(position + 1),
                Shape::Only(position),
                Shape::Without(position),
            ]);
        }
        for unit in [SECTOR, 4096] {
            let count = window.open[position].units(unit).len();
            for cut in cuts(count, &mut rng) {
                for keep in [Keep::Head(cut), Keep::Tail(cut)] {
                    list.push(Shape::Torn(position, unit, keep));
                    if n > 1 {
                        list.push(Shape::OnlyTorn(position, unit, keep));
                        list.push(Shape::AllTorn(position, unit, keep));
                    }
                }
            }
            if count > 2 {
                let keep = Keep::Scattered(rng.next());
                list.push(Shape::Torn(position, unit, keep));
            }
        }
    }
    list
}

/// All positions, or as many as are taken.
fn positions(n: usize, rng: &mut Rng) -> Vec<usize> {
    if n <= POSITIONS {
        return (0..n).collect();
    }
    let mut chosen: Vec<usize> = (0..POSITIONS)
        .map(|_| rng.below(n as u64) as usize)
        .chain([0, 1, n - 2, n - 1])
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Places within `count` units.
fn cuts(count: usize, rng: &mut Rng) -> Vec<usize> {
    if count <= CUTS {
        return (1..count).collect();
    }
    let mut chosen: Vec<usize> = (0..CUTS)
        .map(|_| 1 + rng.below(count as u64 - 1) as usize)
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// How many mixtures a window deserves: none where every subset is taken anyway, then more with each sector, within bounds.
fn weight(window: &Window) -> usize {
    match changes(window) {
        0..=EXHAUSTED => 0,
        more => 64 * more.ilog2() as usize,
    }
}

/// Leaves `count` of a list: its first one, and a drawn choice of the others in their order.
fn thin(list: &mut Vec<Shape>, count: usize, mut rng: Rng) {
    let mut left = count.saturating_sub(1);
    let mut rest = list.len().saturating_sub(1);
    let mut first = true;
    list.retain(|_| {
        if std::mem::take(&mut first) {
            return true;
        }
        let stays = rng.below(rest as u64) < left as u64;
        rest -= 1;
        left -= usize::from(stays);
        stays
    });
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::recording;
    use super::*;
    use crate::log::LogWriter;
    use crate::plan::{Regions, windows};

    fn planned(writes: u64, sectors: usize, states: usize, seed: u64) -> Plan {
        let mut log = LogWriter::new(512);
        for number in 0..writes {
            log.write(number * 1024, &vec![7; sectors * 512]);
        }
        log.flush();
        let recording = recording(log);
        let windows = windows(&recording, &Regions::default()).unwrap();
        plan(&windows, states, seed)
    }

    #[test]
    fn few_changes_are_exhausted() {
        let all = planned(2, 2, 1000, 7);
        assert_eq!(all.len(), 16);
        assert!((0..15).all(|mask| all.shapes[0].contains(&Shape::Sectors(mask))));
        assert_eq!(planned(2, 2, 1, 7).shapes, [vec![Shape::Whole]]);
    }

    #[test]
    fn many_changes_are_sampled_and_filled_up_to_the_number() {
        let all = planned(20, 2, 2000, 7);
        for shape in [
            Shape::Prefix(3),
            Shape::Only(1),
            Shape::Without(0),
            Shape::Torn(1, 512, Keep::Head(1)),
        ] {
            assert!(all.shapes[0].contains(&shape), "{shape}");
        }
        assert_eq!(all.len(), 2000);
        assert_eq!(planned(20, 2, 2000, 7).shapes, all.shapes);
        assert_ne!(planned(20, 2, 2000, 8).shapes, all.shapes);
        let few = planned(20, 2, 30, 7);
        assert_eq!((few.len(), few.shapes[0][0]), (30, Shape::Whole));
    }
}
