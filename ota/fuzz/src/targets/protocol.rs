//! Lines of the daemon's socket: `q` and a request, or anything else and an answer.

use roamcore_daemon::protocol::{Answer, Request};
use roamcore_engine::history::Line;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "protocol",
    from: "programs that connect to the daemon's socket, and the daemon",
    longest: 4096,
    run: |bytes| match bytes.split_first() {
        Some((b'q', line)) => Request::parse(line).is_ok_and(|request| {
            let again = request.to_line().unwrap();
            assert_eq!(Request::parse(&again).unwrap(), request);
            true
        }),
        Some((_, line)) => Answer::parse(line).is_ok_and(|answer| {
            let again = answer.to_line().unwrap();
            assert_eq!(Answer::parse(&again).unwrap(), answer);
            true
        }),
        None => false,
    },
    seeds: || {
        let requests = [
            Request::Ping,
            Request::Install {
                path: "/mnt/usb/x.roam".into(),
            },
            Request::AutoConfirm { active: true },
            Request::Log { lines: 20 },
            Request::Gate {
                failure: Some("sshd.service".into()),
            },
            Request::Gate { failure: None },
        ];
        let reason = "why".to_owned();
        let answers = [
            Answer::Pong {
                turns: 7,
                problem: None,
            },
            Answer::Accepted,
            Answer::Refused {
                reason: reason.clone(),
            },
            Answer::Failed { reason },
            Answer::Log {
                lines: vec![Line {
                    unix: Some(1),
                    boot_ms: 2,
                    phase: "idle".into(),
                    text: "started".into(),
                }],
            },
        ];
        let requests = requests
            .iter()
            .map(|r| [b"q", &r.to_line().unwrap()[..]].concat());
        let answers = answers
            .iter()
            .map(|a| [b"a", &a.to_line().unwrap()[..]].concat());
        requests.chain(answers).collect()
    },
};
