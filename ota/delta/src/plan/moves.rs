//! The order in which chunks move within the idle slot.
//!
//! Owns one rule: a chunk is read before anything is written over where it lies. Moves that wait for each other in a
//! ring are broken by fetching the member whose frame is smallest.
//!
//! ```text
//!   A -> B's place,  B -> C's place,  C free      order: B, A
//!   A -> B's place,  B -> A's place               a ring: one of them is fetched
//! ```

/// A chunk that lies elsewhere in the idle slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub chunk: u32,
    pub from: u32,
    pub to: u32,
    pub blocks: u32,
    /// Bytes to fetch instead.
    pub cost: u32,
}

/// Steps along which a ring is looked for before any member of the walk is given up: bounds the work when the slot was
/// made to annoy.
const WALK: usize = 4096;

/// Which moves can be done, in order, and which chunks must be fetched instead.
#[derive(Debug, Default)]
pub struct Order {
    pub moves: Vec<u32>,
    pub fetch: Vec<u32>,
}

/// Orders moves.
pub fn order(mut moves: Vec<Move>) -> Order {
    moves.sort_unstable_by_key(|m| (m.from, m.chunk));
    let mut by_place: Vec<u32> = (0..moves.len() as u32).collect();
    by_place.sort_unstable_by_key(|at| moves[*at as usize].to);
    let field = Field {
        moves: &moves,
        by_place: &by_place,
        longest: moves.iter().map(|m| m.blocks).max().unwrap_or(0),
    };
    // For each move, how many others still have to be read before it may be written.
    let mut waits: Vec<u32> = (0..moves.len())
        .map(|at| field.blockers(at).count() as u32)
        .collect();
    let mut gone = vec![false; moves.len()];
    let mut ready: Vec<usize> = (0..moves.len())
        .rev()
        .filter(|at| waits[*at] == 0)
        .collect();
    let mut order = Order::default();
    let mut oldest = 0;
    loop {
        while let Some(at) = ready.pop() {
            if gone[at] {
                continue;
            }
            gone[at] = true;
            order.moves.push(moves[at].chunk);
            release(&field, at, &mut waits, &gone, &mut ready);
        }
        while oldest < gone.len() && gone[oldest] {
            oldest += 1;
        }
        if oldest == gone.len() {
            return order;
        }
        let victim = field.victim(oldest, &gone);
        gone[victim] = true;
        order.fetch.push(moves[victim].chunk);
        release(&field, victim, &mut waits, &gone, &mut ready);
    }
}

/// `at` needs its source no more: those who write there have one less to wait for.
fn release(field: &Field<'_>, at: usize, waits: &mut [u32], gone: &[bool], ready: &mut Vec<usize>) {
    for writer in field.writers(at) {
        waits[writer] -= 1;
        if waits[writer] == 0 && !gone[writer] {
            ready.push(writer);
        }
    }
}

struct Field<'a> {
    /// Sorted by `from`.
    moves: &'a [Move],
    /// Positions in `moves`, sorted by `to`.
    by_place: &'a [u32],
    longest: u32,
}

impl Field<'_> {
    /// The moves that write where the source of `at` lies.
    fn writers(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let m = self.moves[at];
        let place = |o: &u32| self.moves[*o as usize];
        let begin = m.from.saturating_sub(self.longest);
        let first = self.by_place.partition_point(|o| place(o).to < begin);
        let end = m.from.saturating_add(m.blocks);
        self.by_place[first..]
            .iter()
            .take_while(move |o| place(o).to < end)
            .filter(move |o| place(o).to + place(o).blocks > m.from)
            .map(|o| *o as usize)
            .filter(move |o| *o != at)
    }

    /// The moves whose source `at` would write over.
    fn blockers(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let m = self.moves[at];
        let begin = m.to.saturating_sub(self.longest);
        let first = self.moves.partition_point(|o| o.from < begin);
        let end = m.to.saturating_add(m.blocks);
        (first..self.moves.len())
            .take_while(move |o| self.moves[*o].from < end)
            .filter(move |o| {
                let other = self.moves[*o];
                *o != at && other.from + other.blocks > m.to
            })
    }

    /// A ring's cheapest member, found by walking from a blocked move to one that blocks it, and so on.
    fn victim(&self, start: usize, gone: &[bool]) -> usize {
        let mut walk = vec![start];
        let mut seen = std::collections::HashMap::from([(start, 0)]);
        loop {
            let last = walk[walk.len() - 1];
            let Some(next) = self.blockers(last).find(|o| !gone[*o]) else {
                return last;
            };
            let ring = match seen.get(&next) {
                Some(from) => &walk[*from..],
                None if walk.len() == WALK => &walk[..],
                None => {
                    seen.insert(next, walk.len());
                    walk.push(next);
                    continue;
                }
            };
            let cheapest = ring.iter().min_by_key(|at| self.moves[**at].cost);
            return cheapest.copied().unwrap_or(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(chunk: u32, from: u32, to: u32, blocks: u32, cost: u32) -> Move {
        Move {
            chunk,
            from,
            to,
            blocks,
            cost,
        }
    }

    /// Carries the order out over a slot of numbered blocks and looks that every chunk arrives whole.
    fn carry_out(moves: &[Move]) -> Order {
        let order = order(moves.to_vec());
        let mut slot: Vec<u32> = (0..10_000).collect();
        for chunk in &order.moves {
            let m = moves.iter().find(|m| m.chunk == *chunk).unwrap();
            let (from, n) = (m.from as usize, m.blocks as usize);
            let read = slot[from..from + n].to_vec();
            let wanted: Vec<u32> = (m.from..m.from + m.blocks).collect();
            assert_eq!(read, wanted, "chunk {chunk} was written over");
            slot[m.to as usize..m.to as usize + n].copy_from_slice(&read);
        }
        let mut all: Vec<u32> = order.moves.iter().chain(&order.fetch).copied().collect();
        all.sort_unstable();
        let mut expected: Vec<u32> = moves.iter().map(|m| m.chunk).collect();
        expected.sort_unstable();
        assert_eq!(all, expected);
        order
    }

    #[test]
    fn shifts_need_no_fetch() {
        for shift in [-7i64, -3, -1, 1, 2, 5, 100] {
            let moves: Vec<Move> = (0..500u32)
                .map(|n| {
                    let from = 200 + n * 3;
                    m(n, from, (i64::from(from) + shift) as u32, 3, 10)
                })
                .collect();
            assert!(carry_out(&moves).fetch.is_empty(), "{shift}");
        }
    }

    #[test]
    fn a_ring_loses_its_cheapest() {
        let ring = [m(0, 0, 10, 2, 50), m(1, 10, 20, 2, 30), m(2, 20, 0, 2, 40)];
        assert_eq!(carry_out(&ring).fetch, [1]);
        let swap = [m(0, 0, 4, 4, 7), m(1, 4, 0, 4, 9), m(2, 100, 8, 4, 1)];
        assert_eq!(carry_out(&swap).fetch, [0]);
    }

    #[test]
    fn reversed_and_shuffled() {
        let reversed: Vec<Move> = (0..300u32)
            .map(|n| m(n, n * 2, (299 - n) * 2, 2, n + 1))
            .collect();
        assert_eq!(carry_out(&reversed).fetch.len(), 150);
        let mut seed = 9u64;
        for _ in 0..50 {
            let mut places: Vec<u32> = (0..200).collect();
            for at in (1..places.len()).rev() {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                places.swap(at, (seed >> 33) as usize % (at + 1));
            }
            let moves: Vec<Move> = places
                .iter()
                .enumerate()
                .map(|(n, to)| {
                    m(
                        n as u32,
                        n as u32 * 4,
                        to * 4 + (n as u32 % 3),
                        2,
                        1 + n as u32,
                    )
                })
                .collect();
            let order = carry_out(&moves);
            assert!(order.fetch.len() < 60, "{}", order.fetch.len());
        }
    }
}
