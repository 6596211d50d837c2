//! What guests read: settings must fit the system in the template, and name only what is there.

use crate::appliance::settings::placeholders;
use crate::appliance::{Appliance, Guest, Os, Router, Wan};
use crate::fault::Fault;
use crate::findings::Findings;
use crate::hint::nearest;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    for (index, guest) in appliance.guest.iter().enumerate() {
        let path = |key: &str| format!("guest[{index}].{key}");
        if let Some(template) = appliance.template_of(guest) {
            let os = template.os;
            let fits = [
                ("router", guest.router.is_some(), os.routes()),
                (
                    "home_assistant",
                    guest.home_assistant.is_some(),
                    os == Os::HomeAssistant,
                ),
                ("cloud_init", guest.cloud_init.is_some(), os == Os::Debian),
            ];
            for (key, _, _) in fits.iter().filter(|(_, given, fits)| *given && !fits) {
                findings.unfit(
                    &path(key),
                    key,
                    &format!("the system of template `{}`", template.name),
                );
            }
        }
        if let Some(router) = &guest.router {
            self::router(appliance, guest, router, &path, findings);
        }
        files(guest, &path, findings);
    }
    routers_apart(appliance, findings);
}

fn router(
    appliance: &Appliance,
    guest: &Guest,
    router: &Router,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    for (key, empty) in [
        ("serves", router.serves.is_empty()),
        ("wan", router.wan.is_empty()),
    ] {
        if empty {
            let key = path(&format!("router.{key}"));
            findings.add(&key.clone(), Fault::Empty(key));
        }
    }
    let carried = |name: &crate::names::Name| {
        guest
            .nic
            .iter()
            .any(|nic| nic.segment == *name || nic.trunk.contains(name))
    };
    for (i, name) in router.serves.iter().enumerate() {
        let at = path(&format!("router.serves[{i}]"));
        match appliance.segment_named(name) {
            None => {
                let there = appliance
                    .segment
                    .iter()
                    .map(|segment| segment.name.as_str());
                findings.missing(&at, "segment", name.as_str(), there);
            }
            Some(segment) if segment.gateway.is_none() => {
                findings.conflict(
                    &at,
                    "segment",
                    name,
                    "routed",
                    "it has no `gateway` address",
                );
            }
            Some(_) if !carried(name) => {
                let other = format!("no card of `{}` is in it", guest.name);
                findings.conflict(&at, "segment", name, "routed", &other);
            }
            Some(_) => {}
        }
    }
    let names = router.wan.iter().enumerate();
    findings.unique(
        "way out",
        names.map(|(i, wan)| {
            (
                path(&format!("router.wan[{i}].name")),
                wan.name.clone(),
                format!("entry {}", i + 1),
            )
        }),
    );
    for (i, wan) in router.wan.iter().enumerate() {
        let at = |key: &str| path(&format!("router.wan[{i}].{key}"));
        way_out(guest, router, wan, &at, findings);
    }
    let Some(wireguard) = &router.wireguard else {
        return;
    };
    if wireguard.port == 0 {
        findings.out_of_range(&path("router.wireguard.port"), &0, "1 to 65535");
    }
    let subnet = wireguard.subnet;
    if !(8..=30).contains(&subnet.prefix()) {
        findings.out_of_range(
            &path("router.wireguard.subnet"),
            &subnet,
            "a network of 8 to 30 bits",
        );
    }
    if let Some(segment) = appliance
        .segment
        .iter()
        .find(|segment| segment.subnet.overlaps(subnet))
    {
        let other = format!(
            "it overlaps {} of segment `{}`",
            segment.subnet, segment.name
        );
        findings.conflict(
            &path("router.wireguard.subnet"),
            "network",
            &subnet,
            "the tunnel's",
            &other,
        );
    }
}

fn way_out(
    guest: &Guest,
    router: &Router,
    wan: &Wan,
    at: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    if !(1..=5).contains(&wan.tier) {
        findings.out_of_range(&at("tier"), &wan.tier, "1 to 5");
    }
    let given = [
        ("passthrough", wan.passthrough.is_some()),
        ("usb", wan.usb.is_some()),
        ("segment", wan.segment.is_some()),
    ];
    let found: Vec<&str> = given
        .iter()
        .filter(|(_, given)| *given)
        .map(|(key, _)| *key)
        .collect();
    if found.len() != 1 {
        let found = match found.is_empty() {
            true => "none".to_owned(),
            false => found.join(" and "),
        };
        let fault = Fault::Choice {
            what: format!("way out `{}`", wan.name),
            choices: &["`passthrough`", "`usb`", "`segment`"],
            found,
        };
        findings.add(&at("name"), fault);
    }
    let not_owned = format!("guest `{}` does not own it", guest.name);
    if let Some(role) = wan
        .passthrough
        .filter(|role| !guest.passthrough.contains(role))
    {
        findings.conflict(
            &at("passthrough"),
            "NIC role",
            &role.name(),
            "a way out",
            &not_owned,
        );
    }
    if let Some(usb) = wan.usb.as_ref().filter(|usb| !guest.usb.contains(usb)) {
        findings.conflict(&at("usb"), "USB device", usb, "a way out", &not_owned);
    }
    if let Some(name) = &wan.segment {
        if !guest.nic.iter().any(|nic| nic.segment == *name) {
            let other = format!("no card of `{}` is in it", guest.name);
            findings.conflict(&at("segment"), "segment", name, "a way out", &other);
        } else if router.serves.contains(name) {
            findings.conflict(
                &at("segment"),
                "segment",
                name,
                "a way out",
                "the router serves it",
            );
        }
    }
    if wan.apn.is_some() && wan.usb.is_none() {
        findings.unfit(&at("apn"), "apn", "a way out without a modem");
    }
}

/// One segment has one gateway address, so one router.
fn routers_apart(appliance: &Appliance, findings: &mut Findings<'_>) {
    let served = appliance.guest.iter().enumerate().flat_map(|(i, guest)| {
        let names = guest
            .router
            .iter()
            .flat_map(|router| router.serves.iter().enumerate());
        names.map(move |(j, name)| {
            let path = format!("guest[{i}].router.serves[{j}]");
            (path, name.clone(), format!("guest `{}`", guest.name))
        })
    });
    findings.unique("routed segment", served);
}

fn files(guest: &Guest, path: &dyn Fn(&str) -> String, findings: &mut Findings<'_>) {
    let secrets = guest.secrets.iter().enumerate();
    findings.unique(
        "secret",
        secrets.map(|(i, name)| {
            (
                path(&format!("secrets[{i}]")),
                name.clone(),
                format!("entry {}", i + 1),
            )
        }),
    );
    let files = guest.file.iter().enumerate();
    findings.unique(
        "file",
        files.map(|(i, file)| {
            (
                path(&format!("file[{i}].path")),
                file.path.clone(),
                format!("file {}", i + 1),
            )
        }),
    );
    for (i, file) in guest.file.iter().enumerate() {
        let at = path(&format!("file[{i}].content"));
        let names = match placeholders(&file.content) {
            Ok(names) => names,
            Err(text) => {
                let fault = Fault::Malformed(format!(
                    "`@@{}` is not a placeholder",
                    text.lines().next().unwrap_or_default()
                ));
                findings.add_with_hint(&at, fault, "write @@secret:name@@");
                continue;
            }
        };
        for name in names {
            let known = || guest.secrets.iter().map(|secret| secret.as_str());
            if !known().any(|secret| secret == name) {
                let hint = nearest(name, known()).map_or_else(
                    || "name it in the guest's `secrets`".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                let fault = Fault::Missing {
                    what: "secret",
                    name: name.to_owned(),
                };
                findings.add_with_hint(&at, fault, hint);
            }
        }
    }
}
