//! Templates.

use crate::appliance::{Appliance, Firmware, Format, Kind, Os, Template};
use crate::fault::Fault;
use crate::findings::Findings;
use crate::size::Size;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    let names = appliance.template.iter().enumerate();
    findings.unique(
        "template",
        names.map(|(i, t)| {
            (
                format!("template[{i}].name"),
                t.name.clone(),
                format!("template {}", i + 1),
            )
        }),
    );
    for (index, template) in appliance.template.iter().enumerate() {
        one(index, template, findings);
    }
}

fn one(index: usize, template: &Template, findings: &mut Findings<'_>) {
    let path = |key: &str| format!("template[{index}].{key}");
    findings.filled(&path("version"), &template.version);
    super::at_least(findings, &path("size"), template.size, Size::MIB);
    let sources = [
        ("url", template.url.is_some()),
        ("path", template.path.is_some()),
        ("debian", template.debian.is_some()),
    ];
    let given: Vec<&str> = sources
        .iter()
        .filter(|(_, given)| *given)
        .map(|(key, _)| *key)
        .collect();
    if given.len() != 1 {
        let found = match given.is_empty() {
            true => "none".to_owned(),
            false => given.join(" and "),
        };
        let fault = Fault::Choice {
            what: format!("template `{}`", template.name),
            choices: &["`url`", "`path`", "`debian`"],
            found,
        };
        findings.add(&path("name"), fault);
    }
    source_form(template, &path, findings);
    let container = template.kind == Kind::Ct;
    if container && template.firmware.is_some() {
        findings.unfit(&path("firmware"), "firmware", "a container");
    }
    if container && !matches!(template.os, Os::Debian | Os::Alpine | Os::Linux) {
        findings.conflict(
            &path("os"),
            "template",
            &template.name,
            "a container",
            "this system runs in virtual machines only",
        );
    }
    if template.os == Os::HomeAssistant && template.firmware() == Firmware::Bios {
        findings.conflict(
            &path("firmware"),
            "template",
            &template.name,
            "started by bios",
            "Home Assistant OS needs uefi",
        );
    }
}

/// What is built needs no form; a file needs one that fits the kind.
fn source_form(template: &Template, path: &dyn Fn(&str) -> String, findings: &mut Findings<'_>) {
    if let Some(debian) = &template.debian {
        if debian.packages.is_empty() {
            findings.add(
                &path("debian.packages"),
                Fault::Empty(path("debian.packages")),
            );
        }
        let packages = debian.packages.iter().enumerate();
        findings.unique(
            "package",
            packages.map(|(i, name)| {
                (
                    path(&format!("debian.packages[{i}]")),
                    name.clone(),
                    format!("entry {}", i + 1),
                )
            }),
        );
        if template.format.is_some() {
            findings.unfit(&path("format"), "format", "a template that is built here");
        }
        if template.os != Os::Debian {
            findings.conflict(
                &path("os"),
                "template",
                &template.name,
                "built from Debian packages",
                "its `os` is not \"debian\"",
            );
        }
        return;
    }
    match (template.kind, template.format) {
        (_, None) => findings.add(&path("name"), Fault::MissingKey("format".to_owned())),
        (Kind::Vm, Some(Format::Tar)) => {
            findings.unfit(
                &path("format"),
                "format = \"tar\"",
                "a virtual machine: it needs a disk image",
            );
        }
        (Kind::Ct, Some(Format::Qcow2 | Format::Raw)) => {
            findings.unfit(
                &path("format"),
                "format",
                "a container, unless it is \"tar\"",
            );
        }
        _ => {}
    }
}
