//! JSON of the DDI protocol, both directions: what is accepted is written so that it is read as the same again.
//!
//! The first byte chooses the document.

use std::fmt::Debug;

use roamcore_ddi::messages::{
    ActionHistory, ActionId, ActionRef, AutoConfirm, CancelAction, ConfigData, ConfirmationBase,
    ConfirmationFeedback, DeploymentBase, Feedback, InstalledBase, Poll, ServerError, read,
};
use roamcore_ddi::sleep;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "ddi",
    from: "a server's answers, and a device's messages to our server",
    longest: 4096,
    run,
    seeds: || {
        let base = "http://h/DEFAULT/controller/v1/d";
        [
            format!("0{{\"config\":{{\"polling\":{{\"sleep\":\"00:05:00\"}}}},\"_links\":{{\
                \"deploymentBase\":{{\"href\":\"{base}/deploymentBase/5?c=-2127\"}},\
                \"cancelAction\":{{\"href\":\"{base}/cancelAction/6\"}},\
                \"confirmationBase\":{{\"href\":\"{base}/confirmationBase/7?c=1\"}},\
                \"installedBase\":{{\"href\":\"{base}/installedBase/4\"}},\
                \"configData\":{{\"href\":\"{base}/configData\"}}}}}}"),
            "1{\"id\":\"8\",\"deployment\":{\"download\":\"forced\",\"update\":\"attempt\",\
                \"maintenanceWindow\":\"available\",\"chunks\":[{\"part\":\"os\",\"version\":\"1.0\",\
                \"name\":\"n\",\"encrypted\":null,\"metadata\":[{\"key\":\"k\",\"value\":\"v\"}],\
                \"artifacts\":[{\"filename\":\"root.000\",\"size\":5368709120,\"hashes\":{\"sha1\":\"aa\",\
                \"md5\":\"bb\",\"sha256\":null},\"_links\":{\"download\":{\"href\":\"http://h/1\"},\
                \"download-http\":{\"href\":\"http://h/2\"},\"md5sum\":{\"href\":\"http://h/3\"}}}]}]},\
                \"actionHistory\":{\"status\":\"RUNNING\",\"messages\":[\"m\"]}}".to_owned(),
            "2{\"id\":\"9\",\"cancelAction\":{\"stopId\":\"9\"}}".to_owned(),
            "3{\"id\":\"8\",\"confirmation\":{\"download\":\"attempt\",\"update\":\"skip\",\"chunks\":[]}}"
                .to_owned(),
            "4{\"active\":true,\"initiator\":\"i\",\"remark\":\"r\",\"activatedAt\":1691065938576}".to_owned(),
            "5{\"exceptionClass\":\"org.eclipse.hawkbit.repository.exception.AssignmentQuotaExceededException\",\
                \"errorCode\":\"hawkbit.server.error.quota.tooManyEntries\",\"message\":\"too many\"}".to_owned(),
            "6{\"id\":\"5\",\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":\"success\",\
                \"progress\":{\"cnt\":2,\"of\":5}},\"code\":200,\"details\":[\"d\"]},\"timestamp\":1}".to_owned(),
            "7{\"mode\":\"merge\",\"data\":{\"VIN\":\"x\"}}".to_owned(),
            "8{\"confirmation\":\"confirmed\",\"code\":200,\"details\":[]}".to_owned(),
            "9PT24H0.5S".to_owned(),
            "900:05:00".to_owned(),
            format!("a{base}/deploymentBase/5?c=-2127"),
            "b{\"id\":\"8\",\"deployment\":{\"download\":\"forced\",\"update\":\"forced\",\"chunks\":[]}}".to_owned(),
            "c{\"status\":\"RUNNING\",\"messages\":[]}".to_owned(),
        ]
        .map(String::into_bytes)
        .into()
    },
};

fn run(bytes: &[u8]) -> bool {
    let Some((which, bytes)) = bytes.split_first() else {
        return false;
    };
    match which {
        b'0' => document::<Poll>(bytes).is_some_and(|poll| {
            drop((poll.deployment(), poll.cancellation(), poll.confirmation()));
            if let Ok(pause) = sleep::interval(&poll.config.polling.sleep, &sleep::BOUNDS) {
                assert!(sleep::BOUNDS.contains(&pause));
            }
            true
        }),
        b'1' => document::<DeploymentBase>(bytes).is_some(),
        b'2' => document::<CancelAction>(bytes).is_some(),
        b'3' => document::<ConfirmationBase>(bytes).is_some(),
        b'4' => document::<AutoConfirm>(bytes).is_some(),
        b'5' => document::<ServerError>(bytes).is_some_and(|error| {
            error.is_quota();
            true
        }),
        b'6' => document::<Feedback>(bytes).is_some(),
        b'7' => document::<ConfigData>(bytes).is_some_and(|data| data.check().is_ok()),
        b'8' => document::<ConfirmationFeedback>(bytes).is_some(),
        b'9' => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| sleep::parse(text).ok())
            .is_some_and(|pause| {
                assert_eq!(sleep::parse(&sleep::format(pause)), Ok(pause));
                true
            }),
        b'a' => std::str::from_utf8(bytes).is_ok_and(|href| {
            if let Ok(id) = href.parse::<ActionId>() {
                assert_eq!(id.as_str(), href);
            }
            ActionRef::of_link("deploymentBase", href).is_ok()
        }),
        b'b' => document::<InstalledBase>(bytes).is_some(),
        b'c' => document::<ActionHistory>(bytes).is_some(),
        _ => false,
    }
}

fn document<T>(bytes: &[u8]) -> Option<T>
where
    T: DeserializeOwned + Serialize + PartialEq + Debug,
{
    let value: T = read("the document", bytes).ok()?;
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(read::<T>("the document", &written).unwrap(), value);
    Some(value)
}
