//! The deployment that the server shows now, for whoever downloads its files.
//!
//! Owns: the links of one deployment. Never does: I/O, keep a link beyond the deployment it came with:
//! links may be signed for minutes only.

use std::sync::{Mutex, MutexGuard, PoisonError};

use roamcore_ddi::messages::{ActionRef, Artifact, DeploymentBase};
use roamcore_engine::ActionId;

/// Shared by the uplink, which fills it, and the work, which reads it.
#[derive(Debug, Default)]
pub struct Offers(Mutex<Option<Offer>>);

#[derive(Debug, Clone)]
struct Offer {
    action: ActionRef,
    document: DeploymentBase,
    /// A download failed in a way that newer links may mend.
    old: bool,
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, Option<Offer>> {
        // Nobody panics while holding it; if somebody did, the value is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document of this action as it was read with this checksum, unless its links are old. Without a
    /// checksum nothing says whether it changed.
    pub fn known(&self, action: &ActionRef) -> Option<DeploymentBase> {
        let guard = self.lock();
        let offer = guard
            .as_ref()
            .filter(|offer| offer.action == *action && !offer.old)?;
        action.checksum.as_ref().map(|_| offer.document.clone())
    }

    /// The server shows this one now.
    pub fn put(&self, action: &ActionRef, document: DeploymentBase) {
        *self.lock() = Some(Offer {
            action: action.clone(),
            document,
            old: false,
        });
    }

    /// The server shows none.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    /// The links may be old.
    pub fn suspect(&self) {
        if let Some(offer) = self.lock().as_mut() {
            offer.old = true;
        }
    }

    /// All files of an action; none when the server does not show it now.
    pub fn artifacts(&self, action: &ActionId) -> Option<Vec<Artifact>> {
        let guard = self.lock();
        let offer = guard
            .as_ref()
            .filter(|offer| offer.document.id.as_str() == action.0)?;
        let chunks = &offer.document.deployment.chunks;
        Some(
            chunks
                .iter()
                .flat_map(|chunk| chunk.artifacts.iter().cloned())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roamcore_ddi::messages;

    fn document(id: &str) -> DeploymentBase {
        let text = format!(
            r#"{{"id":"{id}","deployment":{{"download":"forced","update":"forced","chunks":[
                {{"part":"os","name":"n","version":"1","artifacts":[{{"filename":"a","size":1}}]}},
                {{"part":"os","name":"m","version":"1","artifacts":[{{"filename":"b","size":2}}]}}]}}}}"#
        );
        messages::read("test", text.as_bytes()).unwrap()
    }

    fn reference(href: &str) -> ActionRef {
        ActionRef::of_link("deploymentBase", href).unwrap()
    }

    #[test]
    fn one_deployment_with_its_checksum() {
        let offers = Offers::default();
        let action = reference("/deploymentBase/5?c=1");
        assert!(offers.known(&action).is_none());
        offers.put(&action, document("5"));
        assert_eq!(offers.known(&action), Some(document("5")));
        assert!(offers.known(&reference("/deploymentBase/5?c=2")).is_none());
        assert!(offers.known(&reference("/deploymentBase/6?c=1")).is_none());
        let names: Vec<_> = offers
            .artifacts(&ActionId("5".into()))
            .unwrap()
            .into_iter()
            .map(|artifact| artifact.filename)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert!(offers.artifacts(&ActionId("6".into())).is_none());
        offers.suspect();
        assert!(offers.known(&action).is_none());
        assert!(offers.artifacts(&ActionId("5".into())).is_some());
        offers.clear();
        assert!(offers.artifacts(&ActionId("5".into())).is_none());
    }

    #[test]
    fn without_a_checksum_it_is_read_each_time() {
        let offers = Offers::default();
        let action = reference("/deploymentBase/5");
        offers.put(&action, document("5"));
        assert!(offers.known(&action).is_none());
    }
}
