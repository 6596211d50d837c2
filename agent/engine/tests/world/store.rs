//! Two copies of the record in memory, which a power cut can tear.

use std::rc::Rc;

use roamcore_engine::record::Record;
use roamcore_engine::store::{Damage, decode, encode};
use roamcore_engine::{Loaded, Store, StoreError};

use super::{Cut, Shared};

pub struct MemStore {
    core: Shared,
    newest: Option<(u64, usize)>,
}

impl MemStore {
    pub fn new(core: &Shared) -> Self {
        Self {
            core: Rc::clone(core),
            newest: None,
        }
    }
}

fn dead() -> StoreError {
    StoreError::Place("the process is dead".into())
}

impl Store for MemStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut core = self.core.borrow_mut();
        if !core.alive() {
            return Err(dead());
        }
        let read = |bytes: &Vec<u8>| {
            if bytes.is_empty() {
                Err(Damage::Missing)
            } else {
                decode(bytes)
            }
        };
        let found = match (read(&core.copies[0]), read(&core.copies[1])) {
            (Ok(a), Ok(b)) if a.0 >= b.0 => (0, a),
            (_, Ok(b)) => (1, b),
            (Ok(a), Err(_)) => (0, a),
            (Err(Damage::Missing), Err(Damage::Missing)) => return Ok(Loaded::Fresh),
            (Err(first), Err(second)) => return Err(StoreError::Corrupt { first, second }),
        };
        let (index, (sequence, record)) = found;
        self.newest = Some((sequence, index));
        Ok(Loaded::Record(Box::new(record)))
    }

    fn save(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut core = self.core.borrow_mut();
        if core.dead.is_some() {
            return Err(dead());
        }
        let (sequence, index) = self
            .newest
            .map_or((1, 0), |(sequence, index)| (sequence + 1, 1 - index));
        let bytes = encode(record, sequence).map_err(|size| StoreError::TooLarge { size })?;
        if !core.alive() {
            // In the middle of writing: the copy that is being replaced is torn.
            if core.dead == Some(Cut::Power) {
                let half = bytes.len() / 2;
                let mut torn = bytes[..half].to_vec();
                torn.extend(core.copies[index].iter().skip(half));
                core.copies[index] = torn;
            }
            return Err(dead());
        }
        core.copies[index] = bytes;
        self.newest = Some((sequence, index));
        // Durable, but the process may die before it does anything with that.
        if core.alive() { Ok(()) } else { Err(dead()) }
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        if self.core.borrow_mut().alive() {
            Ok(())
        } else {
            Err(dead())
        }
    }
}
