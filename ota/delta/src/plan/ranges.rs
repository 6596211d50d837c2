//! Which frames to fetch, and in which requests.
//!
//! Owns the choice between the two packings, group by group, and the joining of ranges. Joining over a gap costs the
//! bytes of the gap, a request of its own costs `gap` bytes: the cheapest whole is found exactly, by going through the
//! groups once and keeping the best way to end in either packing.
//!
//! Invariant: never more bytes than all large frames of the groups that lack something.

use super::PlanOptions;
use crate::bits::Bits;
use crate::index::{Group, Index};

/// A group that is fetched, from one of its packings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    pub group: u32,
    pub large: bool,
}

/// Bytes of one part, fetched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub part: u32,
    pub start: u64,
    pub end: u64,
}

/// What is fetched, in ascending order of groups.
#[derive(Debug, Clone, Default)]
pub struct Fetches {
    pub picks: Vec<Pick>,
    pub requests: Vec<Request>,
}

impl Fetches {
    /// Bytes of all requests.
    pub fn bytes(&self) -> u64 {
        self.requests.iter().map(|r| r.end - r.start).sum()
    }
}

/// The needed frames of one group.
#[derive(Debug, Clone, Copy)]
struct Need {
    group: u32,
    /// Bytes of small frames before the first needed one, and after the last.
    lead: u64,
    tail: u64,
    /// Cost of the small frames between, with joined gaps and extra requests.
    small: u64,
}

/// No larger gap is tried: it is more than any group has.
const MAX_GAP: u64 = 1 << 30;

/// How often the last doubling of the gap is halved.
const HALVINGS: u32 = 8;

/// Chooses frames for `needed` chunks: few enough requests when that wastes little, and else little waste.
pub fn choose(index: &Index, needed: &Bits, options: &PlanOptions) -> Fetches {
    let groups: Vec<u32> = (0..index.groups.len())
        .filter(|g| index.groups[*g].chunks().any(|c| needed.get(c)))
        .map(|g| g as u32)
        .collect();
    let all_large: Vec<Pick> = groups
        .iter()
        .map(|group| Pick {
            group: *group,
            large: true,
        })
        .collect();
    let full = join(index, needed, all_large, 0);
    let least = with_gap(index, needed, &groups, 0).bytes();
    let allowed = (least + least * options.waste_permille / 1000).min(full.bytes());
    let fits = |fetches: &Fetches| fetches.bytes() <= allowed;
    let few = |fetches: &Fetches| fetches.requests.len() as u64 <= options.requests;
    // With `low` the requests are too many, or it is the least that is tried; once `reached`, with `high` they are few
    // enough or too much is wasted.
    let mut low = options.gap_bytes.max(1);
    let mut best = with_gap(index, needed, &groups, low);
    let mut high = low;
    let mut reached = few(&best);
    while !reached && high <= MAX_GAP {
        (low, high) = (high, high * 2);
        let fetches = with_gap(index, needed, &groups, high);
        reached = few(&fetches) || !fits(&fetches);
        if fits(&fetches) {
            best = fetches;
        }
    }
    // Doubling is coarse: the last step may waste more than it has to, or more than it may.
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2;
        if !reached || middle == low {
            break;
        }
        let fetches = with_gap(index, needed, &groups, middle);
        if few(&fetches) || !fits(&fetches) {
            high = middle;
        } else {
            low = middle;
        }
        if fits(&fetches) && (few(&fetches) || !few(&best)) {
            best = fetches;
        }
    }
    if best.bytes() <= full.bytes() {
        best
    } else {
        full
    }
}

/// The cheapest choice when a request costs `gap` bytes.
fn with_gap(index: &Index, needed: &Bits, groups: &[u32], gap: u64) -> Fetches {
    // Best cost so far when the last group was taken small, or large; and which way led there.
    let mut cost = [0u64; 2];
    let mut ways: Vec<[bool; 2]> = Vec::with_capacity(groups.len());
    let mut before: Option<Need> = None;
    for group in groups {
        let need = need(index, needed, *group, gap);
        let this = &index.groups[*group as usize];
        let own = [need.small, u64::from(this.large.len)];
        let link = match before {
            None => [[gap; 2]; 2],
            Some(before) => {
                let last = &index.groups[before.group as usize];
                let between = before.group as usize + 1..*group as usize;
                let small = small_gap(index, last, this, between.clone())
                    .map_or(gap, |bytes| (bytes + before.tail + need.lead).min(gap));
                let large = large_gap(index, last, this, between).map_or(gap, |b| b.min(gap));
                [[small, gap], [gap, large]]
            }
        };
        let mut way = [false; 2];
        let mut next = [0; 2];
        for to in [0, 1] {
            let (from_small, from_large) = (cost[0] + link[0][to], cost[1] + link[1][to]);
            // On a tie, stay in the same packing.
            way[to] = from_large < from_small || (from_large == from_small && to == 1);
            next[to] = from_small.min(from_large) + own[to];
        }
        ways.push(way);
        cost = next;
        before = Some(need);
    }
    let mut large = cost[1] < cost[0];
    let mut picks = Vec::with_capacity(groups.len());
    for (group, way) in groups.iter().zip(&ways).rev() {
        let group = *group;
        picks.push(Pick { group, large });
        large = way[usize::from(large)];
    }
    picks.reverse();
    join(index, needed, picks, gap)
}

/// Bytes of the small frames of whole groups between two, when all lie in one part.
fn small_gap(
    index: &Index,
    last: &Group,
    this: &Group,
    between: std::ops::Range<usize>,
) -> Option<u64> {
    let bytes = |g: &Group| u64::from(g.small.len);
    (last.small.part == this.small.part).then(|| index.groups[between].iter().map(bytes).sum())
}

/// The same of large frames.
fn large_gap(
    index: &Index,
    last: &Group,
    this: &Group,
    between: std::ops::Range<usize>,
) -> Option<u64> {
    let bytes = |g: &Group| u64::from(g.large.len);
    (last.large.part == this.large.part).then(|| index.groups[between].iter().map(bytes).sum())
}

fn need(index: &Index, needed: &Bits, group: u32, gap: u64) -> Need {
    let mut need = Need {
        group,
        lead: 0,
        tail: 0,
        small: 0,
    };
    let mut found = false;
    for chunk in index.groups[group as usize].chunks() {
        let bytes = u64::from(index.frames[chunk]);
        if !needed.get(chunk) {
            need.tail += bytes;
            continue;
        }
        if found {
            need.small += need.tail.min(gap);
        } else {
            need.lead = need.tail;
        }
        need.small += bytes;
        need.tail = 0;
        found = true;
    }
    need
}

/// Turns picks into requests, joining over gaps of at most `gap` bytes.
fn join(index: &Index, needed: &Bits, picks: Vec<Pick>, gap: u64) -> Fetches {
    let mut requests: Vec<Request> = Vec::new();
    let mut last_large = false;
    let mut add = |large: bool, part: u32, start: u64, end: u64| {
        if let Some(last) = requests.last_mut()
            && last.part == part
            && last_large == large
            && (last.end..=last.end + gap).contains(&start)
        {
            last.end = end;
            return;
        }
        last_large = large;
        requests.push(Request { part, start, end });
    };
    for pick in &picks {
        let group = &index.groups[pick.group as usize];
        if pick.large {
            add(true, group.large.part, group.large.start, group.large.end());
            continue;
        }
        for (chunk, start, end) in small_frames(index, group) {
            if needed.get(chunk) {
                add(false, group.small.part, start, end);
            }
        }
    }
    Fetches { picks, requests }
}

/// The small frames of a group: chunk, first byte, one past the last.
pub fn small_frames<'a>(
    index: &'a Index,
    group: &Group,
) -> impl Iterator<Item = (usize, u64, u64)> + 'a {
    let mut at = group.small.start;
    group.chunks().map(move |chunk| {
        let start = at;
        at += u64::from(index.frames[chunk]);
        (chunk, start, at)
    })
}
