//! Sets of addresses as ranges, and how they are cut so that one address can speak for many.

use roamcore_spec::net::{Address, Subnet};

/// Ranges in order, apart from each other; both ends belong to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Every address that can be a machine's: without this machine's own, multicast, and what lies above.
    pub(super) fn machines() -> Self {
        let mut all = Self(vec![(0x0100_0000, 0xdfff_ffff)]);
        all.remove(0x7f00_0000, 0x7fff_ffff);
        all
    }

    pub(super) fn of_subnet(subnet: Subnet) -> Self {
        Self(vec![(subnet.first().bits(), subnet.last().bits())])
    }

    pub(super) fn of_addresses(addresses: &[Address]) -> Self {
        let mut all: Vec<(u32, u32)> = addresses.iter().map(|a| (a.bits(), a.bits())).collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    pub(super) fn add(&mut self, subnet: Subnet) {
        self.remove(subnet.first().bits(), subnet.last().bits());
        self.0.push((subnet.first().bits(), subnet.last().bits()));
        self.0.sort_unstable();
    }

    pub(super) fn remove_subnet(&mut self, subnet: Subnet) {
        self.remove(subnet.first().bits(), subnet.last().bits());
    }

    pub(super) fn remove_address(&mut self, address: Address) {
        self.remove(address.bits(), address.bits());
    }

    fn remove(&mut self, first: u32, last: u32) {
        let cut = |(low, high): (u32, u32)| {
            let before = (low < first).then(|| (low, high.min(first.saturating_sub(1))));
            let after = (high > last).then(|| (low.max(last.saturating_add(1)), high));
            [before, after].into_iter().flatten()
        };
        self.0 = std::mem::take(&mut self.0)
            .into_iter()
            .flat_map(cut)
            .collect();
    }

    /// One address of each piece that the bounds cut them into. A bound is the first address of a piece.
    pub(super) fn representatives(&self, bounds: &[u32]) -> Vec<Address> {
        let mut found = Vec::new();
        for (low, high) in &self.0 {
            found.push(Address::from_bits(*low));
            let inner = bounds
                .iter()
                .filter(|bound| (*low + 1..=*high).contains(bound));
            found.extend(inner.map(|bound| Address::from_bits(*bound)));
        }
        found
    }
}

/// Where a network begins and where it has ended.
pub(super) fn bounds(subnet: Subnet, all: &mut Vec<u32>) {
    all.push(subnet.first().bits());
    all.extend(subnet.last().bits().checked_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_and_joined() {
        let subnet = |text: &str| text.parse::<Subnet>().unwrap();
        let mut ranges = Ranges::of_subnet(subnet("10.0.0.0/24"));
        ranges.remove_address("10.0.0.1".parse().unwrap());
        ranges.remove_subnet(subnet("10.0.0.128/25"));
        ranges.add(subnet("10.0.9.0/24"));
        let mut all = Vec::new();
        bounds(subnet("10.0.0.64/26"), &mut all);
        let found: Vec<String> = ranges
            .representatives(&all)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["10.0.0.0", "10.0.0.2", "10.0.0.64", "10.0.9.0"]);
        let mut nothing = Ranges::of_subnet(subnet("0.0.0.0/0"));
        nothing.remove_subnet(subnet("0.0.0.0/0"));
        assert_eq!(nothing, Ranges::default());
    }
}
