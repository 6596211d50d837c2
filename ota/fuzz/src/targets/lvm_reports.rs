//! What LVM reports, and the record beside it: the planner answers whatever they say.
//!
//! Three reports and the record, each after a line of dashes.

use roamcore_guests::next::{Bad, Situation};
use roamcore_guests::{Lvm, Plan, Record, next, snapshot, versions};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "lvm-reports",
    from: "lvm2's reports and the guests' record on the state partition",
    longest: 8192,
    run: |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.split("\n---\n").map(str::as_bytes);
        let mut part = || parts.next().unwrap_or_default();
        let (pvs, vgs, lvs, record) = (part(), part(), part(), part());
        let Ok(lvm) = Lvm::parse("/dev/loop0", "guests", pvs, vgs, lvs) else {
            return false;
        };
        let record = match Record::parse(record) {
            Ok(record) => {
                assert_eq!(
                    Record::parse(&record.encode().unwrap()).as_ref(),
                    Ok(&record)
                );
                record
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                Record::default()
            }
        };
        let plan = Plan::parse(PLAN).unwrap();
        let bad = Bad::default();
        let situation = Situation {
            plan: &plan,
            lvm: &lvm,
            record: &record,
            bad: &bad,
        };
        drop(next(&situation, "/dev/loop0"));
        drop(snapshot::of_guest(&lvm, 100));
        drop((versions::offers(&plan, &lvm), versions::unused(&plan, &lvm)));
        true
    },
    seeds: || {
        let real = [
            include_str!("../../../../agent/guests/tests/lvm2/pvs.json"),
            include_str!("../../../../agent/guests/tests/lvm2/vgs.json"),
            include_str!("../../../../agent/guests/tests/lvm2/lvs.json"),
            RECORD,
        ];
        vec![
            real.join("\n---\n").into_bytes(),
            [real[0], real[1], LVS, RECORD].join("\n---\n").into_bytes(),
        ]
    },
};

const PLAN: &[u8] = br#"{"schema":1,"pool":{"partition":"guests","group":"guests","name":"guests"},
"templates":[{"id":"router","version":"24.10","number":9000,"kind":"vm","file":"router.img","size":104857600,
"sha256":"5454545454545454545454545454545454545454545454545454545454545454","compression":"none","format":"raw"}],
"guests":[{"vmid":100,"kind":"vm","name":"edge","order":1,"disks":[{"number":0,"size":209715200,"template":"router"}]}]}"#;

const RECORD: &str = r#"{"format":1,"record":{"pool":"yoee41-KTFc-Ke2D-f6Jj-QEZQ-503d-q2IxxN","disks":[[100,0]],
"jobs":[{"number":1,"vmid":100,"disks":[0],"from":{"snapshot":1000}}],"last_job":1}}"#;

const LVS: &str = r#"{"report":[{"lv":[
{"lv_name":"guests","vg_name":"guests","lv_attr":"twi-aotz--","lv_size":"4194304","pool_lv":"","origin":"","lv_tags":""},
{"lv_name":"rc-new-100-0","vg_name":"guests","lv_attr":"Vwi-a-tz--","lv_size":"4194304","pool_lv":"guests","origin":"","lv_tags":"roamcore.job.1,roamcore.ready"},
{"lv_name":"rc-old-100-0","vg_name":"guests","lv_attr":"Vwi-a-tz--","lv_size":"4194304","pool_lv":"guests","origin":"","lv_tags":""},
{"lv_name":"rc-snap-100-0-1000","vg_name":"guests","lv_attr":"Vri---tz-k","lv_size":"4194304","pool_lv":"guests","origin":"","lv_tags":"roamcore.of.1"}]}]}"#;
