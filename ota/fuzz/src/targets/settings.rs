//! `agent.toml`.

use std::path::Path;

use roamcore_daemon::config::Config;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "settings",
    from: "/etc/roamcore/agent.toml",
    longest: 2048,
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return false;
        };
        match Config::parse(Path::new("agent.toml"), text) {
            Ok(_) => true,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    },
    seeds: || {
        [
            "schema = 1",
            "schema = 1\n[server]\nurl = \"https://h\"\ntenant = \"T\"\nauth.target-token.credential = \"token\"\n\
             ca = \"/etc/ca.pem\"\npoll-seconds = 30\nplaintext = true\n",
            "schema = 1\n[server]\nurl = \"https://h\"\nauth.certificate.file = \"/c\"\n\
             [policy]\nbytes-per-second = 100000\n[policy.soft]\nhours = {from = 60, to = 1000}\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
};
