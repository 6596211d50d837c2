//! `guests.json`. What is accepted is written back, and a first boot with it begins, whatever names and sizes are in it.

use std::collections::BTreeSet;

use roamcore_guests::next::{Bad, Situation};
use roamcore_guests::{Lvm, Plan, Record, command, next};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "guests-plan",
    from: "guests.json in the image",
    longest: 4096,
    run: |bytes| {
        let Ok(plan) = Plan::parse(bytes) else {
            return false;
        };
        if let Ok(again) = plan.encode() {
            assert_eq!(Plan::parse(&again).as_ref(), Ok(&plan));
        }
        let volumes = format!(
            r#"{{"report":[{{"lv":[{{"lv_name":"{}","vg_name":"{}","lv_attr":"twi-aotz--","lv_size":"4194304","pool_lv":"","origin":"","lv_tags":""}}]}}]}}"#,
            plan.pool.name, plan.pool.group,
        );
        let group = format!(
            r#"{{"report":[{{"vg":[{{"vg_name":"{}","vg_uuid":"u","vg_extent_size":"4194304","vg_free":"0"}}]}}]}}"#,
            plan.pool.group,
        );
        let none = br#"{"report":[{"pv":[]}]}"#;
        let lvm = Lvm::parse(
            "/dev/p",
            &plan.pool.group,
            none,
            group.as_bytes(),
            volumes.as_bytes(),
        );
        let lvm = lvm.unwrap();
        let situation = Situation {
            plan: &plan,
            lvm: &lvm,
            record: &Record::default(),
            bad: &Bad::default(),
        };
        let todo = next(&situation, "/dev/p").unwrap();
        assert_eq!(todo.refusals, []);
        let commands = todo
            .steps
            .iter()
            .filter_map(|step| command::of(step, &plan.pool, "/dev/p"));
        let lines: Vec<_> = commands.collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
        true
    },
    seeds: || vec![SEED.to_vec()],
};

const SEED: &[u8] = br#"{"schema":1,"pool":{"partition":"guests","group":"guests","name":"pool"},
"templates":[{"id":"router","version":"24.10","number":9000,"kind":"vm","file":"router.img.zst","size":1048576,
"sha256":"5454545454545454545454545454545454545454545454545454545454545454","compression":"zstd","format":"raw"},
{"id":"app","version":"1","number":9001,"kind":"ct","file":"app.tar","size":10240,"volume":1048576,
"sha256":"6464646464646464646464646464646464646464646464646464646464646464","compression":"none","format":"tar"}],
"guests":[{"vmid":100,"kind":"vm","name":"edge","order":1,"disks":[{"number":0,"size":2097152,"template":"router"},
{"number":1,"size":1048576}],"snapshots":{"days":[1],"minute":210,"keep":{"last":2}}},
{"vmid":101,"kind":"ct","name":"app","order":2,"disks":[{"number":0,"size":1048576,"template":"app","personal":true}]}]}"#;
