//! Users: `user.cfg`. Root, and the agent with a token of its own.
//!
//! No secret stands here: the unit makes the token's and writes it to `priv/token.cfg`. A token has what it *and* its user
//! are given, so both are named. Order matters: users before tokens, roles before what refers to them.

/// The agent's user.
pub const AGENT_USER: &str = "roamcore@pve";
/// Its token.
pub const AGENT_TOKEN: &str = "agent";
/// Its role.
pub const AGENT_ROLE: &str = "RoamCoreAgent";

/// What the agent does through the API: look, start and stop, snapshots, backups. Each is a privilege of version 8 and 9.
const PRIVILEGES: [&str; 6] = [
    "Datastore.Audit",
    "VM.Audit",
    "VM.Backup",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// Guests and their storage; not nodes, users or the firewall.
const PATHS: [&str; 2] = ["/storage", "/vms"];

pub(super) fn text() -> String {
    let mut text = String::from("user:root@pam:1:0::::::\n");
    text += &format!("user:{AGENT_USER}:1:0::::::\n");
    text += &format!("token:{AGENT_USER}!{AGENT_TOKEN}:0:1::\n");
    // Users, groups, pools and roles end with an empty line each, also where there are none.
    text += "\n\n\n";
    text += &format!("role:{AGENT_ROLE}:{}:\n\n", PRIVILEGES.join(","));
    for path in PATHS {
        text += &format!("acl:1:{path}:{AGENT_USER},{AGENT_USER}!{AGENT_TOKEN}:{AGENT_ROLE}:\n");
    }
    text
}
